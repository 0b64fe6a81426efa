"""The documents say what is there: every module, command and key is named, and what is generated is up to date."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from controller.node.verbs import VERBS
from controller.site import SiteFile, Webhook
from tests import docs

HOUSE = Path(__file__).parents[2]
PAGES = sorted(page for glob in ("*.md", "docs/**/*.md", "apps/*/*.md", "infra/**/*.md") for page in HOUSE.glob(glob))
DECISIONS = sorted((HOUSE / "docs" / "decisions").glob("*.md"))
FORBIDDEN = {
    "a folder outside of the repository": r"\.\./shared",
    "a path of somebody's machine": r"(?<![\w.])/(?:work|root|home|Users)/",
    "the number of an issue": r"(?i)(?<![\w&/(])#\d+\b|\bissues? \d+|\bPR ?\d+",
    "how it was made": r"(?i)\b(?:worktree|sub-?agents?|as an AI|language model)\b",
}


def named(page: Path) -> str:
    return str(page.relative_to(HOUSE))


def told(name: str) -> str:
    return (HOUSE / name).read_text()


def node_program() -> str:
    return "\n".join(path.read_text() for path in sorted((HOUSE / "controller" / "node").glob("*.py")))


def test_the_architecture_names_every_module_of_the_controller() -> None:
    house, page = HOUSE / "controller", told("ARCHITECTURE.md")
    modules = [str(path.relative_to(house)) for path in sorted(house.rglob("*.py")) if path.name != "__init__.py"]
    assert len(modules) > 60
    assert [name for name in modules if f"`{name}`" not in page] == []


def test_the_architecture_names_no_module_that_is_not_there() -> None:
    rooms = told("ARCHITECTURE.md").split("## The rooms of controller/")[1].split("\n## ")[0]
    rows = [line for line in rooms.splitlines() if line.startswith("| `")]
    names = [name for row in rows for name in re.findall(r"`([a-z_/]+\.py)`", row.split("|")[1])]
    assert [name for name in names if not (HOUSE / "controller" / name).exists()] == []
    assert len(names) == len(set(names))


def test_the_architecture_names_every_module_of_the_platform_and_no_other() -> None:
    rooms = told("ARCHITECTURE.md").split("## The rooms of infra/")[1].split("\n## ")[0]
    rows = [line for line in rooms.splitlines() if line.startswith("| `")]
    names = {name for row in rows for name in re.findall(r"`([a-z_/]+\.py)`", row.split("|")[1])}
    house = HOUSE / "infra"
    modules = {str(path.relative_to(house)) for path in house.rglob("*.py") if path.name != "__init__.py"}
    assert {name for name in modules if not name.startswith("local/")} == names


def test_the_readme_names_every_command() -> None:
    page = told("README.md")
    assert [name for name in docs.commands() if f"| `turnabout {name}` |" not in page] == []


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", told("Makefile"), re.MULTILINE))
    asked = {name for page in PAGES for name in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    assert asked - targets == set()


@pytest.mark.parametrize("name", docs.PAGES)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    written, said = (docs.REFERENCE / name).read_text(), docs.PAGES[name]()
    assert written.split() == said.split(), "run python -m tests.docs"  # Pythons set the columns of help otherwise


def test_the_reference_has_every_key_that_the_example_of_an_environment_has() -> None:
    page = (docs.REFERENCE / "keys.md").read_text()
    table, wanted = "", []
    for line in told("environments/reference.toml").splitlines():
        if found := re.match(r"\[+([a-z.]+)\]+", line):
            table = re.sub(r"^(fleet|app)\..*", r"\1.*", found[1])
        elif found := re.match(r"([a-z_]+) =", line):
            key = f"{table}.{found[1]}".lstrip(".").replace("freeze.", "freeze[].")
            if table not in ("infra.zones", "infra.atlas.grants"):
                wanted.append("app" if table == "app.*" else key)
    assert len(wanted) > 15
    assert [key for key in wanted if f"| `{key}` |" not in page] == []


def test_every_key_of_a_release_toml_is_explained() -> None:
    page = told("docs/release-toml.md")
    assert [key for key, _, _ in docs.release_keys() if f"| `{key.replace('[]', '')}` |" not in page] == []


def test_every_way_in_which_a_node_says_no_is_explained() -> None:
    kinds = set(re.findall(r'(?:Refused|Failed)\(\s*"([a-z -]+)"', node_program()))
    page = told("docs/node.md").split("## Exit codes")[1].split("\n## ")[0]
    assert len(kinds) > 20
    assert [kind for kind in sorted(kinds) if f"`{kind}`" not in page] == []


def test_every_verb_of_the_node_program_is_explained() -> None:
    page = told("docs/node.md").split("## Verbs")[1].split("\n## ")[0]
    assert len(VERBS) > 10
    assert [verb for verb in sorted(VERBS) if not re.search(rf"^\| `{verb}\b", page, re.MULTILINE)] == []


def test_every_kind_of_ledger_row_is_explained() -> None:
    kinds = re.findall(r'^[A-Z]+ = "([a-z]+)"$', told("controller/rollout/rows.py"), re.MULTILINE)
    page = told("docs/ledger.md")
    assert len(kinds) > 5
    assert [kind for kind in kinds if f"| `{kind}` |" not in page] == []


def test_every_key_of_a_site_is_explained() -> None:
    page = told("docs/site.md")
    names = [*(set(SiteFile.model_fields) - {"webhook"}), *(f"webhook.{name}" for name in Webhook.model_fields)]
    assert [name for name in names if f"| `{name}` |" not in page] == []


def test_a_decision_has_a_number_of_its_own_and_fits_a_screen() -> None:
    numbers = [path.name[:4] for path in DECISIONS]
    assert numbers == sorted(set(numbers)) and all(re.fullmatch(r"\d{4}", number) for number in numbers)
    for path in DECISIONS:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]} "), path.name
        assert len(text.splitlines()) <= 40, path.name
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Consequences")), path.name


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_speaks_of_the_product_alone(page: Path) -> None:
    text = page.read_text()
    assert {why: found for why, form in FORBIDDEN.items() if (found := re.findall(form, text))} == {}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    inner = [unquote(link) for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in inner if not (page.parent / link).exists()] == []
