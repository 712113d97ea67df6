"""How many commands a disk has answered with an error so far: the kernel's own count, by which a listing is judged.

Linux's FAT driver leaves out a block of a folder that it cannot read, logs "Directory bread failed", and reports success to whoever
lists the folder (fs/fat/dir.c). Names are then missing and nothing says so but this count.
"""

import os
from pathlib import Path

SYSFS = Path("/sys/dev/block")


def error_count(device: int) -> int | None:
    """The count of the disk below a file system's device number. None where the kernel keeps none: it does for SCSI disks, and so
    for every USB disk and card reader; not for MMC slots, NVMe, MTP, and networks."""
    disk = SYSFS / f"{os.major(device)}:{os.minor(device)}"
    try:
        disk = disk.resolve(strict=True)
        if (disk / "partition").exists():
            disk = disk.parent
        return int((disk / "device/ioerr_cnt").read_text(encoding="ascii"), 16)
    except (OSError, ValueError):
        return None
