"""Settings: from a YAML file, a dict, `.env` and the `OCEAN__…` environment."""

from ocean_actors.settings.errors import SettingsError
from ocean_actors.settings.leader import (
    KubernetesLeaderSettings,
    LeaderSettings,
    NoLeaderSettings,
    PostgresLeaderSettings,
)
from ocean_actors.settings.models import (
    ControlSettings,
    HttpSettings,
    IntegrationSettings,
    KafkaSettings,
    ListenerSettings,
    OnceSettings,
    OnNewRequest,
    PollingSettings,
    PortSettings,
    ResyncSettings,
    RetrySettings,
    SslSettings,
    WebhookSettings,
)
from ocean_actors.settings.ocean import OceanSettings
from ocean_actors.settings.ray import RaySettings
from ocean_actors.settings.settings import Settings

__all__ = [
    "ControlSettings",
    "HttpSettings",
    "IntegrationSettings",
    "KafkaSettings",
    "KubernetesLeaderSettings",
    "LeaderSettings",
    "ListenerSettings",
    "NoLeaderSettings",
    "OceanSettings",
    "OnNewRequest",
    "OnceSettings",
    "PollingSettings",
    "PortSettings",
    "PostgresLeaderSettings",
    "RaySettings",
    "ResyncSettings",
    "RetrySettings",
    "Settings",
    "SettingsError",
    "SslSettings",
    "WebhookSettings",
]
