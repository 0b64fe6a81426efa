"""What ``pulumi up`` runs: the stack's name is an environment's, and its configuration says whose account this is.

    pulumi config set organisation 5f…             # Atlas's organisation
    pulumi config set repository https://git.…     # where the environment branches are
    pulumi config set trusted '["…64 hex digits…"]'     # build keys that nodes accept, as JSON
    pulumi config set --secret observeKey "$(openssl rand -hex 32)"
    pulumi config set sshKey "$(ssh-keygen -y -f keys/ssh.key)"     # where commands go by SSH: the controllers' key

Everything else is in ``environments/`` and put together in ``program.py``.
"""

import subprocess
import sys
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[1]
# Pulumi puts this folder on the path, where its files would stand beside packages of the same name.
sys.path[:] = [str(HOUSE), *(entry for entry in sys.path if Path(entry or ".").resolve() != HOUSE / "infra")]

import pulumi  # noqa: E402

from environments import BadEnvironment, from_folder  # noqa: E402
from infra.application import BadApp, read_app  # noqa: E402
from infra.equipment import NoProgram  # noqa: E402
from infra.preflight import NotOffered  # noqa: E402
from infra.program import Account, NobodyLetIn, NotInCloud, Platform  # noqa: E402
from infra.slots import NoFront  # noqa: E402

WANTED = {
    "organisation": "Atlas's organisation, in which the project is made",
    "repository": "where the environment branches are fetched from",
    "trusted": "the build keys that nodes accept, as a JSON array of 64 hex digits each",
    "observeKey": "the secret that observers' tokens and SSH's host keys are made of; set it with --secret",
}


def main() -> None:
    config = pulumi.Config("turnabout")
    missing = [f"turnabout:{key} is missing ({why})" for key, why in WANTED.items() if config.get(key) is None]
    if missing:
        said = f"environments/Pulumi.{pulumi.get_stack()}.yaml: {'; '.join(missing)}"
        raise pulumi.RunError(f"{said}. Write each with `pulumi config set`.")
    try:
        environment = from_folder(HOUSE / "environments", pulumi.get_stack())
        apps = {app: read_app(HOUSE / "apps", app) for app in environment.fleets}
        platform = Platform(environment, _account(config), apps)
    except (BadApp, BadEnvironment, NoFront, NobodyLetIn, NoProgram, NotInCloud, NotOffered) as error:
        raise pulumi.RunError(str(error)) from None
    pulumi.export("outputs", platform.document)


def _account(config: pulumi.Config) -> Account:
    return Account(
        organisation=config.require("organisation"),
        repository=config.require("repository"),
        trusted=tuple(str(key) for key in config.require_object("trusted")),
        observe_key=config.require_secret("observeKey"),
        node_program=_packed(HOUSE / "build" / "node.pyz"),
        ssh_key=config.get("sshKey") or "",
    )


def _packed(program: Path) -> Path:
    """The node program as this checkout has it; packing the same files gives the same bytes."""
    program.parent.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-m", "controller.node.pack", str(program)], cwd=HOUSE, check=True, timeout=60)
    return program


main()
