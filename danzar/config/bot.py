"""``bot_config.yaml``: Discord, conversations, watching, profiles. No secret belongs in it."""

from pydantic import Field, model_validator

from danzar.config.alerts import AlertSettings
from danzar.config.api import ApiSettings, HostName
from danzar.config.base import KeyProblem, Settings, Size, must_be
from danzar.config.imagine import ImagineSettings
from danzar.config.jobs import JobsConfig
from danzar.config.logs import LogSettings, MaintenanceSettings
from danzar.config.node import NodeSettings
from danzar.config.profile import Profile
from danzar.units import MIB


class DiscordSettings(Settings):
    """How to reach Discord, and who may do what. The token is in ``DISCORD_TOKEN`` only."""

    api_url: str = Field(
        "https://discord.com/api/v10",
        pattern=r"^https?://\S+$",
        json_schema_extra=must_be("an address that begins with https:// or http://"),
        description="Base of the REST API.",
    )
    gateway_url: str = Field(
        "wss://gateway.discord.gg/",
        pattern=r"^wss?://\S+$",
        json_schema_extra=must_be("an address that begins with wss:// or ws://"),
        description="The gateway's address.",
    )
    cdn_url: str = Field(
        "https://cdn.discordapp.com",
        pattern=r"^https?://\S+$",
        json_schema_extra=must_be("an address that begins with https:// or http://"),
        description="Base of avatars and emoji.",
    )
    command_prefix: str = Field(
        "!", min_length=1, max_length=5, description="Before a command in a message: `!gpu status`."
    )
    operator_role: str = Field(
        "Danzar Operator", description="Role that may change what Danzar does."
    )
    alert_channel: str | None = Field(
        "alerts", description="Name or id of the channel for alerts; null sends none."
    )
    alert_role: str | None = Field(
        None, description="Role that alerts mention; null mentions no one."
    )


class ChatSettings(Settings):
    """Conversations."""

    persona: str = Field(
        "You are Danzar, a helpful AI assistant in a Discord channel of gamers. "
        "Answer briefly and plainly.",
        max_length=4000,
        description="Who Danzar is; the profile's persona is added to it.",
    )
    max_answer_tokens: int = Field(400, ge=16, le=8192, description="The longest answer, tokens.")
    temperature: float = Field(
        0.2, ge=0, le=2, description="How freely words are chosen: 0 is always the likeliest."
    )
    top_p: float = Field(
        0.9, gt=0, le=1, description="Only the likeliest words that together reach this are taken."
    )
    repeat_penalty: float = Field(
        1.1, ge=1, le=2, description="Above 1 keeps small models from repeating themselves."
    )
    history_token_budget: int = Field(
        900,
        ge=0,
        le=1_000_000,
        description="Tokens of earlier conversation in a prompt.",
    )
    window_messages: int = Field(12, ge=0, le=200, description="Earlier messages, at most.")
    keep_messages: int = Field(
        500, ge=1, le=1_000_000, description="Messages kept per channel in the database."
    )
    edit_interval_s: float = Field(1.0, ge=1.0, le=10, description="Seconds between edits.")
    text_attachment_max: Size = Field(64 * 1024, description="Longest text file that is read.")


class PictureSettings(Settings):
    """What pictures are accepted."""

    max_bytes: Size = Field(20 * MIB, description="Larger files are refused.")
    max_pixels: int = Field(
        50_000_000, ge=1, description="Pictures with more are refused before they are decoded."
    )
    max_side: int = Field(1280, ge=64, le=8192, description="Larger ones are scaled down to it.")
    max_per_message: int = Field(4, ge=1, le=10, description="Further pictures are left out.")


class WatchSettings(Settings):
    """What may be watched, and how."""

    sources: dict[str, str] = Field(
        default_factory=lambda: {"sample": "assets/sample-clip.mp4"},
        description="Names for sources: a file, a folder, a URL, screen:N or camera:N.",
    )
    allow_folders: tuple[str, ...] = Field(
        (), description="Folders whose files may be named directly in !watch start."
    )
    allow_hosts: tuple[str, ...] = Field(
        (), description="Hosts (name or name:port) of streams that may be watched."
    )
    max_watches: int = Field(4, ge=1, le=64, description="Watches that may run at once.")
    unchanged_threshold: float = Field(
        0.004, ge=0, le=1, description="Mean difference (0 to 1) under which a frame is skipped."
    )
    batch_size: int = Field(8, ge=1, le=64, description="Frames of all watches in one batch.")
    batch_wait_s: float = Field(0.05, ge=0, le=1, description="Wait for others to join a batch.")


class HttpSettings(Settings):
    """Danzar's page and status API. Its keys are the API's, made with ``danzar keys add``."""

    enabled: bool = Field(True, description="Whether there is a page and a status API.")
    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="The address to listen on; elsewhere than on loopback it wants a key.",
    )
    port: int = Field(8764, ge=0, le=65535, description="0 takes a free port.")
    hosts: tuple[HostName, ...] = Field(
        (), description="Further names that browsers and programs may call this machine by."
    )
    open_metrics: bool = Field(
        False, description="Whether other machines may read /metrics without a key."
    )
    tls_certificate: str | None = Field(
        None, description="PEM file of the certificate, with its chain; null is plain HTTP."
    )
    tls_key: str | None = Field(None, description="PEM file of its private key.")

    @property
    def local_url(self) -> str:
        """Where programs of this machine ask."""
        scheme = "http" if self.tls_certificate is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}"

    @model_validator(mode="after")
    def both_or_none(self) -> "HttpSettings":
        """A certificate is of no use without its key."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_key is None else "tls_certificate"
            raise KeyProblem((missing,), "tls_certificate and tls_key belong together; name both")
        return self


class BotConfig(Settings):
    """The whole of ``bot_config.yaml``."""

    discord: DiscordSettings = DiscordSettings()
    alerts: AlertSettings = AlertSettings()
    chat: ChatSettings = ChatSettings()
    pictures: PictureSettings = PictureSettings()
    imagine: ImagineSettings = ImagineSettings()
    watch: WatchSettings = WatchSettings()
    http: HttpSettings = HttpSettings()
    api: ApiSettings = ApiSettings()
    jobs: JobsConfig = JobsConfig()
    node: NodeSettings = NodeSettings()
    logs: LogSettings = LogSettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    data_dir: str | None = Field(None, description="Where the database is; null is the platform's.")
    profile: str = Field("doom", description="The profile in use, one of `profiles`.")
    profiles: dict[str, Profile] = Field(
        default_factory=lambda: {"doom": Profile(title="Doom")},
        description="Games, by their names.",
    )

    @model_validator(mode="after")
    def profile_exists(self) -> "BotConfig":
        """The chosen profile is defined."""
        if self.profile not in self.profiles:
            known = ", ".join(sorted(self.profiles))
            raise KeyProblem(
                ("profile",), f"{self.profile!r} is not under profiles; known: {known}"
            )
        return self
