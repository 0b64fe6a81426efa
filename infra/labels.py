"""How everything of one environment is called: tags, and the paths of its parameters. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Labels:
    """The name of the environment, and the tags that its file asks for."""

    environment: str
    tags: Mapping[str, str]

    def of(self, name: str, **more: str) -> dict[str, str]:
        """The tags of one resource; ``more`` are the platform's own, such as ``zone`` or ``node``."""
        own = {f"turnabout:{key}": value for key, value in more.items()}
        return {
            **self.tags,
            "turnabout:environment": self.environment,
            "Name": f"turnabout-{self.environment}-{name}",
            **own,
        }

    def path(self, *parts: str) -> str:
        """Where a parameter of this environment is: ``/turnabout/prod/nodes/bos-a``."""
        return "/".join(["/turnabout", self.environment, *parts])
