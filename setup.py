"""Packs the stored results into the wheel; all else about it is in pyproject.toml."""

import pathlib
import zipfile

from setuptools import setup
from setuptools.command.build_py import build_py

READ_BY_NOTEBOOKS = (
    "runs/*/*.json",
    "bench/*.json",
    "figures/*-samples.png",
    "figures/*-shown.png",
    "tables/bench-grid*.csv",
)


class BuildWithResults(build_py):
    def run(self):
        super().run()
        if self.editable_mode:
            return  # the repository's own outputs/ are beside it
        files = [file for kind in READ_BY_NOTEBOOKS for file in pathlib.Path("outputs").glob(kind)]
        with zipfile.ZipFile(pathlib.Path(self.build_lib, "lightlayers/outputs.zip"), "w") as kept:
            for file in sorted(files):
                member = zipfile.ZipInfo(file.as_posix())  # no times: the same files, the same zip
                kept.writestr(member, file.read_bytes(), zipfile.ZIP_DEFLATED)


setup(cmdclass={"build_py": BuildWithResults})
