"""The wheel, the source distribution and an editable install: each works from another folder."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.installs.making import (
    Installation,
    installed_editable,
    installed_sdist,
    installed_wheel,
    sdist,
    source,
    wheel,
)


def expected_files() -> set[str]:
    """Return what is to be installed: our package, its marker for type checkers, our plugins."""
    paths = [
        *source().glob("twisted_p2p/**/*.py"),
        *source().glob("twisted/plugins/*.py"),
        source() / "twisted_p2p" / "py.typed",
    ]
    return {str(path.relative_to(source())) for path in paths}


class DistributionChecks(SynchronousTestCase):
    def test_a_wheel_has_all_of_the_package_and_nothing_else(self) -> None:
        with zipfile.ZipFile(wheel()) as archive:
            names = archive.namelist()
        self.assertEqual(
            {name for name in names if ".dist-info/" not in name},
            expected_files(),
        )

    def test_a_source_distribution_has_what_a_wheel_is_built_from_and_nothing_else(self) -> None:
        with tarfile.open(sdist()) as archive:
            files = [Path(member.name) for member in archive if member.isfile()]
        names = {str(Path(*path.parts[1:])) for path in files}
        self.assertEqual(
            {name for name in names if not name.startswith("twisted_p2p.egg-info/")},
            expected_files()
            | {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.rst", "pyproject.toml", "setup.cfg"},
        )


class InstallationChecks:
    """What holds in every installation."""

    installation: Installation

    def test_both_launchers_list_the_tracker(self) -> None:
        for launcher in ("twistd", "twist"):
            self.assertIn("p2ptracker", self.installation.run(launcher, "--help"))

    def test_both_launchers_read_the_options_of_the_tracker(self) -> None:
        for launcher in ("twistd", "twist"):
            self.assertIn("--udp", self.installation.run(launcher, "p2ptracker", "--help"))

    def test_endpoint_strings_are_parsed(self) -> None:
        peer = self.installation.run("p2p", "id").strip()
        for side, description in (
            ("Client", f"p2p:{peer}:service=echo:tracker=127.0.0.1\\:3478:identity=own.pem"),
            ("Server", f"p2p:echo:tracker=127.0.0.1\\:3478:identity=own.pem:allow={peer}"),
        ):
            parse = f"twisted.internet.endpoints.{side.lower()}FromString"
            endpoint = f"{parse}(twisted.internet.reactor, {description!r})"
            provided = self.installation.evaluate(
                f"twisted.internet.interfaces.IStream{side}Endpoint.providedBy({endpoint})",
                "twisted.internet.endpoints",
                "twisted.internet.interfaces",
                "twisted.internet.reactor",
            )
            self.assertIs(provided, True)

    def test_the_command_shows_its_commands(self) -> None:
        shown = self.installation.run("p2p", "--help")
        for command in ("connect", "demo", "id", "listen", "ping"):
            self.assertRegex(shown, rf"(?m)^  {command} ")

    def test_the_command_makes_one_identity_and_keeps_it(self) -> None:
        peer = self.installation.run("p2p", "id")
        self.assertRegex(peer, r"\A[a-z2-7]{52}\n\Z")
        self.assertEqual(self.installation.run("p2p", "id"), peer)

    def test_type_checkers_are_told_that_it_is_typed(self) -> None:
        marker = "importlib.resources.files('twisted_p2p').joinpath('py.typed').is_file()"
        self.assertIs(self.installation.evaluate(marker, "importlib.resources"), True)

    def place(self) -> Path:
        """Return the folder that the package is imported from."""
        return Path(str(self.installation.evaluate("twisted_p2p.__path__[0]", "twisted_p2p")))


class WheelChecks(InstallationChecks, SynchronousTestCase):
    def setUp(self) -> None:
        self.installation = installed_wheel()

    def test_it_is_used_from_its_environment(self) -> None:
        self.assertIn(self.installation.program("python").parents[1], self.place().parents)


class SourceDistributionChecks(InstallationChecks, SynchronousTestCase):
    def setUp(self) -> None:
        self.installation = installed_sdist()

    def test_it_is_used_from_its_environment(self) -> None:
        self.assertIn(self.installation.program("python").parents[1], self.place().parents)


class EditableChecks(InstallationChecks, SynchronousTestCase):
    def setUp(self) -> None:
        self.installation = installed_editable()

    def test_it_is_used_from_where_it_is_edited(self) -> None:
        self.assertEqual(self.place(), source() / "twisted_p2p")
