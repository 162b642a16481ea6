"""Print what the package needs without extras, everything below it too, as NAME==VERSION of this environment."""

from importlib.metadata import distribution

from packaging.requirements import Requirement

PACKAGE = "deepseq-nb"


def needed(package: str) -> set[str]:
    """Names of the distributions that a package requires where no extra is asked for."""
    waiting, found = [(package, frozenset())], {package: frozenset()}
    while waiting:
        name, extras = waiting.pop()
        for line in distribution(name).requires or ():
            wanted = Requirement(line)
            asked = [{"extra": extra} for extra in extras or {""}]
            if wanted.marker and not any(map(wanted.marker.evaluate, asked)):
                continue
            key = wanted.name.lower().replace("_", "-")
            more = found.get(key, frozenset()) | wanted.extras
            if key not in found or more != found[key]:
                found[key] = more
                waiting.append((key, more))
    return {*found} - {package}


if __name__ == "__main__":
    for name in sorted(needed(PACKAGE)):
        print(f"{name}=={distribution(name).version.partition('+')[0]}")
