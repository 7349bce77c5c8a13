"""What Grafana does to a query before it asks: template variables and its own words."""

import re
from itertools import product

# At least four scrapes, as Grafana sees to it.
_OWN = {"$__rate_interval": "1m", "$__interval": "15s"}


def choices(board, prometheus):
    """The values of each template variable, as Grafana finds them when the dashboard is opened."""
    found = {}
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            asked = _with_lists(variable["query"]["query"], found)
            metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", asked).groups()
            found[variable["name"]] = prometheus.get(f"label/{label}/values", **{"match[]": metric})
    return found


def filled_in(expr, found):
    """The query with all values chosen; one for each value where it is for one alone."""
    for word, value in _OWN.items():
        expr = expr.replace(word, value)
    single = [name for name in found if re.search(rf'[^~]"\${name}"', expr)]
    for values in product(*(found[name] for name in single)):
        chosen = expr
        for name, value in zip(single, values, strict=True):
            chosen = re.sub(rf'(?<!~)"\${name}"', f'"{value}"', chosen)
        yield _with_lists(chosen, found)


def _with_lists(expr, found):
    for name, values in found.items():
        expr = expr.replace(f"${name}", f"({'|'.join(values)})" if len(values) > 1 else values[0])
    return expr
