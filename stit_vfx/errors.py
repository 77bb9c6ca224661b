"""Every error that a user can meet.

StitError                       code       exit   when
├── JobError                    STIT-E100     2   the job, or the words on the command line
│   ├── JobFieldError           STIT-E101     2   a field of the job: names the path to it
│   ├── JobVersionError         STIT-E102     2   a schema newer than this engine
│   ├── FrameRangeError         STIT-E103     2   a frame range that cannot be read, or `:` in it
│   ├── UnknownDirectionError   STIT-E104     2   an edit that the pack does not have
│   ├── ColourSpaceError        STIT-E105     2   a colour space or OCIO config that is unknown or unusable
│   ├── OutputError             STIT-E106     2   an output place that would overwrite something
│   └── FacePickError           STIT-E107     2   the job picks a face that the shot does not have
├── PackError                   STIT-E200     4   a model pack
│   ├── PackMissingError        STIT-E201     4   no pack of that name on this machine
│   ├── PackDamagedError        STIT-E202     4   a file is absent, unreadable or not the one recorded
│   ├── PackFormatError         STIT-E203     4   pack.json or a weight file is not what the schema says
│   ├── PackNewerError          STIT-E204     4   a pack schema newer than this engine
│   ├── PackUnsafeError         STIT-E205     4   a model file that holds what no weights need
│   ├── PackSourceError         STIT-E206     4   a model file that is not read, or lacks something
│   ├── PackFetchError          STIT-E207     4   a download that failed, or is not the file expected
│   └── PackLicenceError        STIT-E208     4   terms that were not accepted
├── PlateError                  STIT-E300     3   the plate
│   ├── PlateMissingError       STIT-E301     3   no such file, empty folder, or a gap in the range
│   ├── PlateDamagedError       STIT-E302     3   truncated, empty, or does not decompress
│   ├── PlateUnsupportedError   STIT-E303     3   deep, subsampled, no RGB, or a format that is not read
│   ├── PlateSizeError          STIT-E304     3   frames of different sizes, or larger than the limit
│   └── PlateWriteError         STIT-E305     3   a frame that cannot be written as its source is
├── FaceError                   STIT-E310     3   the face
│   ├── NoFaceError             STIT-E311     3   no face in the shot, or none in the picked place
│   ├── FaceLostError           STIT-E312     3   the picked face is away in every frame to deliver
│   └── QuadFileError           STIT-E313     3   a hand-made quad file that cannot be used
├── MachineError                STIT-E400     4   this machine
│   ├── DeviceError             STIT-E401     4   the device asked for is not there
│   ├── DiskFullError           STIT-E402     4   no space left
│   ├── ReadOnlyError           STIT-E403     4   a folder that may not be written
│   ├── MemoryLimitError        STIT-E404     4   the job needs more memory than there is
│   ├── MissingPartError        STIT-E405     4   a library or system package is not installed
│   └── StorageError            STIT-E406     4   storage that fails in another way
├── TransientError              STIT-E450    75   worth trying again: device memory, a share that is away
├── PartialError                STIT-E460     5   some frames were left as the plate, as the job allows
├── CancelledError              STIT-E470   130   stopped by the user or the farm
└── InternalError               STIT-E500     1   a bug of ours

An error has three parts: where (file, frame), what is wrong, what to do. `str(error)` is one line that ends
with the code, which never changes its meaning. Warnings are not errors; their codes are in `WARNINGS`.
"""

from __future__ import annotations

from pathlib import Path

WARNINGS = {
    "STIT-W101": "a text moves hardly any style channel, or nearly all",
    "STIT-W201": "a part of the model pack is not known to be free for commercial use",
    "STIT-W301": "pixels that are not finite were left as they are",
    "STIT-W302": "the colour space was guessed",
    "STIT-W303": "the face is away in some frames, which pass through untouched",
    "STIT-W304": "several faces; the largest was taken",
    "STIT-W305": "values beyond half float were limited to 65504",
    "STIT-W306": "the source is lossy; the result is written lossless",
    "STIT-W401": "the computation runs on the processor",
    "STIT-W501": "no consent reference was given",
}


class StitError(Exception):
    """A refusal that a user can act on. Hosts show `str(error)`; farms read `code` and `exit_status`."""

    code = "STIT-E500"
    exit_status = 1

    def __init__(
        self,
        problem: str,
        *,
        where: str | Path | None = None,
        frame: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem = problem.rstrip(". ")
        self.where = None if where is None else str(where)
        self.frame = frame
        self.hint = None if hint is None else hint.rstrip(". ")
        super().__init__(self.message())

    def message(self) -> str:
        """One line: where, what, what to do, code."""
        place = self.where or ""
        if self.frame is not None:
            place = f"{place}, frame {self.frame}" if place else f"frame {self.frame}"
        line = f"{place}: {self.problem}." if place else f"{self.problem}."
        if self.hint:
            line += f" {self.hint}" + ("" if self.hint.endswith("?") else ".")
        return f"{' '.join(line.split())} ({self.code})"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.problem, self.where, self.frame, self.hint)


def _rebuild(
    kind: type[StitError], problem: str, where: str | None, frame: int | None, hint: str | None
) -> StitError:
    return kind(problem, where=where, frame=frame, hint=hint)


class JobError(StitError):
    code, exit_status = "STIT-E100", 2


class JobFieldError(JobError):
    code = "STIT-E101"


class JobVersionError(JobError):
    code = "STIT-E102"


class FrameRangeError(JobError):
    code = "STIT-E103"


class UnknownDirectionError(JobError):
    code = "STIT-E104"


class ColourSpaceError(JobError):
    code = "STIT-E105"


class OutputError(JobError):
    code = "STIT-E106"


class FacePickError(JobError):
    code = "STIT-E107"


class PackError(StitError):
    code, exit_status = "STIT-E200", 4


class PackMissingError(PackError):
    code = "STIT-E201"


class PackDamagedError(PackError):
    code = "STIT-E202"


class PackFormatError(PackError):
    code = "STIT-E203"


class PackNewerError(PackError):
    code = "STIT-E204"


class PackUnsafeError(PackError):
    code = "STIT-E205"


class PackSourceError(PackError):
    code = "STIT-E206"


class PackFetchError(PackError):
    code = "STIT-E207"


class PackLicenceError(PackError):
    code = "STIT-E208"


class PlateError(StitError):
    code, exit_status = "STIT-E300", 3


class PlateMissingError(PlateError):
    code = "STIT-E301"


class PlateDamagedError(PlateError):
    code = "STIT-E302"


class PlateUnsupportedError(PlateError):
    code = "STIT-E303"


class PlateSizeError(PlateError):
    code = "STIT-E304"


class PlateWriteError(PlateError):
    code = "STIT-E305"


class FaceError(StitError):
    code, exit_status = "STIT-E310", 3


class NoFaceError(FaceError):
    code = "STIT-E311"


class FaceLostError(FaceError):
    code = "STIT-E312"


class QuadFileError(FaceError):
    code = "STIT-E313"


class MachineError(StitError):
    code, exit_status = "STIT-E400", 4


class DeviceError(MachineError):
    code = "STIT-E401"


class DiskFullError(MachineError):
    code = "STIT-E402"


class ReadOnlyError(MachineError):
    code = "STIT-E403"


class MemoryLimitError(MachineError):
    code = "STIT-E404"


class MissingPartError(MachineError):
    code = "STIT-E405"


class StorageError(MachineError):
    code = "STIT-E406"


class TransientError(StitError):
    code, exit_status = "STIT-E450", 75


class PartialError(StitError):
    code, exit_status = "STIT-E460", 5


class CancelledError(StitError):
    code, exit_status = "STIT-E470", 130


class InternalError(StitError):
    code, exit_status = "STIT-E500", 1
