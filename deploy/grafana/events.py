"""What happened, drawn as lines through the charts of both dashboards."""

from deploy.grafana.panels import Choice, Event

NODE = Choice("node", "Machine", "label_values(danzar_build_info, node)")

EVICTION = Event(
    name="Evictions",
    expr="sum by (node, model, device, reason) "
    '(increase(danzar_evictions_total{node=~"$node"}[1m])) > 0',
    colour="orange",
    title="{{model}} left {{device}}",
    text="Reason: {{reason}}",
    tags=("node", "device", "reason"),
)
# The first incident of a kind makes its series, which ``increase`` does not see; a Prometheus that
# has only begun to look must not take all that it finds for new.
_INCIDENTS = 'danzar_incidents_total{node=~"$node"}'
INCIDENT = Event(
    name="Incidents",
    expr=f"sum by (node, kind) (increase({_INCIDENTS}[1m])) > 0 "
    f"or sum by (node, kind) ({_INCIDENTS} unless {_INCIDENTS} offset 1m) "
    "and on (node) danzar_build_info offset 1m",
    colour="red",
    title="Incident: {{kind}}",
    text="On {{node}}",
    tags=("node", "kind"),
)
