"""What udev says, in its own words, and which device is then on which port."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mediad.model.carried import Carried, SlotIdentity
from mediad.model.slots import (
    Ports,
    UsbDevice,
    UsbFact,
    changes,
    port_from_devpath,
    port_of,
    with_serial,
)

HOST = "/devices/pci0000:00/0000:00:03.0"
PORT_1 = "pci-0000:00:03.0-usb-0:1"
PORT_2_3 = "pci-0000:00:03.0-usb-0:2.3"


def usb(path: str, action: str = "add", **more: str) -> UsbFact:
    """A usb_device event as systemd 252 sends it; ``path`` such as 1-2.3."""
    bus, ports = path.split("-")
    hubs = "/".join(f"{bus}-{'.'.join(ports.split('.')[: n + 1])}" for n in range(len(ports.split("."))))
    properties = {
        "SUBSYSTEM": "usb",
        "DEVTYPE": "usb_device",
        "BUSNUM": f"{int(bus):03d}",
        "DEVNUM": "005",
        "TYPE": "0/0/0",
        "PRODUCT": "46f4/1/0",
        "ID_PATH": f"pci-0000:00:03.0-usb-0:{ports}",
        "ID_SERIAL_SHORT": "REC0001",
        "ID_VENDOR": "QEMU",
        "ID_VENDOR_ENC": "QEMU",
        "ID_VENDOR_ID": "46F4",
        "ID_MODEL": "QEMU_USB_HARDDRIVE",
        "ID_MODEL_ENC": "QEMU\\x20USB\\x20HARDDRIVE",
        "ID_MODEL_ID": "0001",
        "ID_USB_INTERFACES": ":080650:",
        "USEC_INITIALIZED": "51234567",
        "DEVNAME": f"/dev/bus/usb/{int(bus):03d}/005",
    }
    return UsbFact(action, f"{HOST}/usb{bus}/{hubs}", properties | more)


def block(path: str, name: str, action: str = "add", lun: int = 0, **more: str) -> UsbFact:
    """A block event below a USB device; ``name`` such as sdb or sdb1."""
    disk = name.rstrip("0123456789")
    number = name[len(disk) :]
    leaf = f"{path}:1.0/host6/target6:0:0/6:0:0:{lun}/block/{disk}"
    properties = {
        "SUBSYSTEM": "block",
        "DEVTYPE": "partition" if number else "disk",
        "DEVNAME": f"/dev/{name}",
        "ID_BUS": "usb",
        "ID_PATH": f"pci-0000:00:03.0-usb-0:{path.split('-')[1]}:1.0-scsi-0:0:0:{lun}",
        "MEDIAD_SIZE": "4000000000",
        "DISKSEQ": "11",
    }
    if number:
        properties |= {
            "PARTN": number,
            "ID_PART_ENTRY_NUMBER": number,
            "ID_PART_ENTRY_SIZE": "1000",
            "ID_FS_TYPE": "vfat",
            "ID_FS_USAGE": "filesystem",
            "ID_FS_UUID": f"0A0B-{number:0>4}",
            "ID_FS_LABEL": "REC",
            "ID_FS_LABEL_ENC": "REC",
        }
        leaf += f"/{name}"
    else:
        properties["ID_PART_TABLE_TYPE"] = "dos"
    parent = usb(path).devpath
    return UsbFact(action, f"{parent}/{leaf}", {k: v for k, v in (properties | more).items() if v})


def after(*facts: UsbFact) -> dict[str, UsbDevice]:
    ports = Ports()
    for fact in facts:
        ports.apply(fact)
    return ports.current()


def settle(ports: Ports, *facts: UsbFact) -> dict[str, UsbDevice]:
    """Facts, then quiet."""
    for port in {ports.apply(fact) for fact in facts}:
        if port:
            ports.settle(port)
    return ports.current()


def test_the_port_is_the_id_path_up_to_the_interface() -> None:
    assert port_of("pci-0000:00:03.0-usb-0:1.2:1.0-scsi-0:0:0:0-part1") == "pci-0000:00:03.0-usb-0:1.2"
    assert port_of("pci-0000:00:03.0-usb-0:1.2:1.0") == "pci-0000:00:03.0-usb-0:1.2"
    assert port_of("pci-0000:00:03.0-usb-0:1") == "pci-0000:00:03.0-usb-0:1"
    assert port_of("platform-dummy_hcd.0-usb-0:1:1.0-scsi-0:0:0:0") == "platform-dummy_hcd.0-usb-0:1"
    assert port_of("pci-0000:00:1f.2-ata-1") == ""
    assert port_of("") == ""


def test_a_device_without_id_path_gets_the_same_port_from_its_devpath() -> None:
    assert port_from_devpath(f"{HOST}/usb1/1-2/1-2.3") == PORT_2_3
    assert port_from_devpath("/devices/platform/dummy_hcd.0/usb3/3-1") == "platform-dummy_hcd.0-usb-0:1"
    assert port_from_devpath(f"{HOST}/usb1") == ""
    assert set(after(usb("1-2.3", ID_PATH=""))) == {PORT_2_3}


def test_a_card_with_one_partition_is_one_device_with_one_volume() -> None:
    devices = after(usb("1-1"), block("1-1", "sda"), block("1-1", "sda1"))
    device = devices[PORT_1]
    assert (device.kind, device.serial, device.vid, device.pid) == ("storage", "REC0001", "46f4", "0001")
    assert (device.vendor, device.model, device.bus, device.dev) == ("QEMU", "QEMU USB HARDDRIVE", 1, 5)
    (volume,) = device.volumes
    assert (volume.devnode, volume.fstype, volume.uuid, volume.label) == (
        "/dev/sda1",
        "vfat",
        "0A0B-0001",
        "REC",
    )
    assert (volume.partition, volume.size, volume.disk_seq) == (1, 4_000_000_000, 11)


def test_several_partitions_are_volumes_of_one_device_in_order() -> None:
    names = ["sda", "sda10", "sda2", "sda1"]
    devices = after(usb("1-1"), *(block("1-1", name) for name in names))
    assert [v.devnode for v in devices[PORT_1].volumes] == ["/dev/sda1", "/dev/sda2", "/dev/sda10"]


def test_several_luns_are_volumes_of_one_device() -> None:
    devices = after(
        usb("1-1"),
        block("1-1", "sda", lun=0),
        block("1-1", "sda1", lun=0),
        block("1-1", "sdb", lun=1, ID_PART_TABLE_TYPE="", ID_FS_TYPE="exfat", ID_FS_UUID="AA"),
        block("1-1", "sdc", lun=2, ID_PART_TABLE_TYPE="", MEDIAD_SIZE="0"),
    )
    assert [(v.devnode, v.partition, v.fstype) for v in devices[PORT_1].volumes] == [
        ("/dev/sdb", 0, "exfat"),
        ("/dev/sda1", 1, "vfat"),
    ], "the empty reader slot is left out"


def test_a_disk_without_partition_table_is_itself_the_volume() -> None:
    devices = after(
        usb("1-1"),
        block("1-1", "sda", ID_PART_TABLE_TYPE="", ID_FS_TYPE="vfat", ID_FS_LABEL_ENC="\\xe5\\x8d\\xa1"),
    )
    (volume,) = devices[PORT_1].volumes
    assert (volume.devnode, volume.partition, volume.label) == ("/dev/sda", 0, "卡")


def test_an_extended_partition_is_no_volume() -> None:
    devices = after(
        usb("1-1"),
        block("1-1", "sda"),
        block("1-1", "sda1", ID_FS_TYPE="", ID_PART_ENTRY_TYPE="0xf"),
        block("1-1", "sda5"),
    )
    assert [v.devnode for v in devices[PORT_1].volumes] == ["/dev/sda5"]


def test_a_damaged_card_is_shown_with_an_unknown_file_system() -> None:
    devices = after(usb("1-1"), block("1-1", "sda", ID_PART_TABLE_TYPE=""))
    assert [(v.devnode, v.fstype) for v in devices[PORT_1].volumes] == [("/dev/sda", "")]


def test_a_partition_table_without_a_partition_is_a_damaged_card_and_no_free_reader() -> None:
    """There may be footage on it, so somebody must be called; only a drive without a medium is free."""
    bare = after(usb("1-1"), block("1-1", "sda"))[PORT_1]
    assert [(v.devnode, v.fstype, v.partition) for v in bare.volumes] == [("/dev/sda", "", 0)]
    shell = block("1-1", "sda1", ID_FS_TYPE="", ID_PART_ENTRY_TYPE="0xf")
    assert [v.devnode for v in after(usb("1-1"), block("1-1", "sda"), shell)[PORT_1].volumes] == ["/dev/sda"]
    for nothing in (block("1-1", "sda", MEDIAD_SIZE="0"), block("1-1", "sda", MEDIAD_SIZE="0", ID_PART_TABLE_TYPE="")):
        assert after(usb("1-1"), nothing)[PORT_1].volumes == ()


def test_partitions_that_come_after_their_disk_had_settled_take_its_place_in_a_new_stay() -> None:
    ports = Ports()
    early = settle(ports, usb("1-1"), block("1-1", "sda"))[PORT_1]
    late = settle(ports, block("1-1", "sda1"))[PORT_1]
    assert ([v.devnode for v in early.volumes], [v.devnode for v in late.volumes]) == (["/dev/sda"], ["/dev/sda1"])
    assert early.stay != late.stay


def test_partitions_are_awaited_where_there_is_a_table_for_them() -> None:
    """udev tells the disk first: a slow card must not be taken for a damaged one before its partitions are told."""
    ports = Ports()
    steps = [
        (usb("1-1"), False),
        (block("1-1", "sda"), True),
        (block("1-1", "sda1"), False),
        (block("1-1", "sda1", "remove"), True),
        (block("1-1", "sda", "change", ID_PART_TABLE_TYPE=""), False),
        (usb("1-1", "remove"), False),
    ]
    for fact, awaited in steps:
        ports.apply(fact)
        assert ports.awaits_partitions(PORT_1) is awaited, fact
        assert not ports.awaits_partitions("pci-0000:00:14.0-usb-0:7")


def test_a_damaged_card_taken_out_of_its_reader_frees_the_place() -> None:
    ports = Ports()
    before = settle(ports, usb("1-1"), block("1-1", "sda"))[PORT_1]
    empty = settle(ports, block("1-1", "sda", "change", MEDIAD_SIZE="0", ID_PART_TABLE_TYPE=""))[PORT_1]
    assert (empty.volumes, empty.stay != before.stay) == ((), True)


@given(st.text(max_size=12), st.binary(max_size=12))
def test_no_screen_or_log_sees_raw_what_a_device_says_of_itself(text: str, raw: bytes) -> None:
    """Terminal escapes, line breaks, direction marks, bytes that are no text: in names, serials, labels."""
    nasty = f"\x1b[31m{text}\u202e\n{raw.decode('utf-8', 'surrogateescape')}x"
    encoded = "".join(f"\\x{b:02x}" for b in nasty.encode("utf-8", "surrogateescape"))
    keys = ("ID_VENDOR", "ID_MODEL", "ID_SERIAL_SHORT", "ID_FS_UUID", "ID_FS_LABEL", "ID_FS_TYPE")
    for values in (
        {**dict.fromkeys(keys, nasty), "ID_VENDOR_ENC": "", "ID_MODEL_ENC": "", "ID_FS_LABEL_ENC": ""},
        dict.fromkeys(("ID_VENDOR_ENC", "ID_MODEL_ENC", "ID_FS_LABEL_ENC"), encoded),
    ):
        device = after(usb("1-1", **values), block("1-1", "sda"), block("1-1", "sda1", **values))[PORT_1]
        said = [device.vendor, device.model, device.serial, with_serial(device, nasty).serial]
        said += [each for v in device.volumes for each in (v.uuid, v.label, v.fstype)]
        assert all(each.isprintable() for each in said), said
        assert "31m" in device.model, "still recognisable"


def test_hubs_are_no_devices_and_what_hangs_on_them_is() -> None:
    hub = usb("1-2", TYPE="9/0/1", ID_USB_INTERFACES=":090000:")
    root = UsbFact("add", f"{HOST}/usb1", usb("1-1").properties | {"TYPE": "9/0/0", "ID_PATH": "pci-0000:00:03.0"})
    devices = after(root, hub, usb("1-2.3"), usb("1-2.4", ID_SERIAL_SHORT="B"))
    assert set(devices) == {PORT_2_3, "pci-0000:00:03.0-usb-0:2.4"}
    assert devices["pci-0000:00:03.0-usb-0:2.4"].serial == "B"


def test_pulling_a_device_frees_its_port_even_if_block_removals_come_late() -> None:
    facts = [usb("1-1"), block("1-1", "sda"), block("1-1", "sda1")]
    late = [usb("1-1", "remove"), block("1-1", "sda1", "remove"), block("1-1", "sda", "remove")]
    assert after(*facts, *late) == {}


def test_the_last_remove_event_needs_no_properties() -> None:
    """The kernel's remove event of a usb_device carries no serial and no ID_PATH."""
    bare = UsbFact("remove", usb("1-1").devpath, {"SUBSYSTEM": "usb", "DEVTYPE": "usb_device"})
    ports = Ports()
    ports.apply(usb("1-1"))
    assert ports.apply(bare) == PORT_1
    assert ports.current() == {}


def test_mtp_and_control_devices_have_no_volumes() -> None:
    mtp = after(usb("1-1", ID_USB_INTERFACES=":060101:", ID_MTP_DEVICE="1"))
    assert (mtp[PORT_1].kind, mtp[PORT_1].volumes) == ("mtp", ())
    control = after(usb("1-1", ID_USB_INTERFACES=":ff0000:", ID_VENDOR_ID="4255", ID_MODEL_ID="0001"))
    assert (control[PORT_1].kind, control[PORT_1].vid) == ("control", "4255")


def test_an_mtp_device_that_also_shows_a_disc_of_drivers_stays_mtp() -> None:
    disc = block("1-1", "sr0", ID_PART_TABLE_TYPE="", ID_FS_TYPE="iso9660", PARTN="")
    disc = UsbFact("add", disc.devpath, dict(disc.properties) | {"DEVTYPE": "disk"})
    devices = after(usb("1-1", ID_USB_INTERFACES=":ffff00:080650:", ID_MTP_DEVICE="1"), disc)
    assert devices[PORT_1].kind == "mtp"


def test_storage_whose_disk_has_not_come_yet_is_storage_without_volumes() -> None:
    assert after(usb("1-1"))[PORT_1].kind == "storage"
    assert after(usb("1-1"))[PORT_1].volumes == ()


def test_control_then_storage_on_the_same_port_is_a_new_stay() -> None:
    ports = Ports()
    control = settle(ports, usb("1-1", ID_USB_INTERFACES=":ff0000:"))
    storage = settle(
        ports,
        usb("1-1", "remove"),
        usb("1-1", DEVNUM="006", USEC_INITIALIZED="60000000"),
        block("1-1", "sda"),
        block("1-1", "sda1"),
    )
    (change,) = changes(control, storage)
    assert change.port == PORT_1 and change.device is not None
    assert (control[PORT_1].kind, change.device.kind) == ("control", "storage")
    assert control[PORT_1].stay != change.device.stay


def test_re_enumeration_within_one_settling_time_is_one_change_with_a_new_stay() -> None:
    ports = Ports()
    before = settle(ports, usb("1-1"), block("1-1", "sda"), block("1-1", "sda1"))
    again = [usb("1-1", DEVNUM="007", USEC_INITIALIZED="70000000"), block("1-1", "sda"), block("1-1", "sda1")]
    now = settle(ports, usb("1-1", "remove"), *again)
    assert [c.device and c.device.stay for c in changes(before, now)] == [now[PORT_1].stay]
    assert before[PORT_1].stay != now[PORT_1].stay
    assert before[PORT_1].volumes == now[PORT_1].volumes


def test_a_missed_remove_does_not_join_two_stays() -> None:
    ports = Ports()
    first = settle(ports, usb("1-1"), block("1-1", "sda1"))
    second = settle(ports, usb("1-1", DEVNUM="009", USEC_INITIALIZED="99"))
    assert second[PORT_1].volumes == ()
    assert first[PORT_1].stay != second[PORT_1].stay


def test_a_late_partition_changes_the_device_but_not_its_stay() -> None:
    ports = Ports()
    first = settle(ports, usb("1-1"), block("1-1", "sda"), block("1-1", "sda1"))
    second = settle(ports, block("1-1", "sda2"))
    assert len(changes(first, second)) == 1
    assert first[PORT_1].stay == second[PORT_1].stay


def test_a_card_swapped_in_a_reader_is_a_new_stay() -> None:
    ports = Ports()
    first = settle(ports, usb("1-1"), block("1-1", "sda"), block("1-1", "sda1"))
    second = settle(ports, block("1-1", "sda1", "change", DISKSEQ="12", ID_FS_UUID="FFFF-0000"))
    assert first[PORT_1].stay != second[PORT_1].stay


def test_a_change_event_that_changes_nothing_is_not_told() -> None:
    """udisks2 triggers one after each mount."""
    ports = Ports()
    first = settle(ports, usb("1-1"), block("1-1", "sda"), block("1-1", "sda1"))
    second = settle(ports, block("1-1", "sda1", "change", SYNTH_UUID="x"), block("1-1", "sda", "change"))
    assert changes(first, second) == []


def test_two_devices_that_claim_one_port_path_are_never_mixed() -> None:
    """The USB 2 and USB 3 halves of one controller number their ports separately."""
    ports = Ports()
    settle(ports, usb("1-1"), block("1-1", "sda"), block("1-1", "sda1"))
    both = settle(ports, usb("2-1", ID_SERIAL_SHORT="B"), block("2-1", "sdb"), block("2-1", "sdb1"))
    assert {port: (d.serial, d.volumes[0].devnode) for port, d in both.items()} == {
        PORT_1: ("REC0001", "/dev/sda1"),
        f"{PORT_1}@usb2": ("B", "/dev/sdb1"),
    }
    left = settle(ports, usb("1-1", "remove"))
    assert set(left) == {f"{PORT_1}@usb2"}, "the one that stays keeps its name"


def test_after_lost_events_the_scan_is_the_truth_and_stays_survive() -> None:
    ports = Ports()
    first = settle(ports, usb("1-1"), block("1-1", "sda1"), usb("1-2.3", ID_SERIAL_SHORT="B"), block("1-2.3", "sdb1"))
    touched = ports.restart([usb("1-1", "scan"), block("1-1", "sda1", "scan")])
    for port in touched:
        ports.settle(port)
    assert touched == {PORT_1, PORT_2_3}
    assert changes(first, ports.current())[0].device is None
    assert ports.current()[PORT_1] == first[PORT_1]


def test_other_disks_say_nothing_about_ports() -> None:
    ata = UsbFact(
        "add",
        "/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sdz",
        {"SUBSYSTEM": "block", "DEVTYPE": "disk", "DEVNAME": "/dev/sdz"},
    )
    ports = Ports()
    assert ports.apply(ata) is None
    assert ports.current() == {}


def test_identity_is_carried_to_the_next_device_of_the_slot_once_and_not_for_long() -> None:
    carried = Carried(keep_seconds=60)
    identity = SlotIdentity(serial="8888888", officer="123456")
    carried.put(PORT_1, identity, now=100.0)
    assert carried.take(PORT_2_3, now=101.0) is None
    assert carried.take(PORT_1, now=115.0) == identity
    assert carried.take(PORT_1, now=116.0) is None
    carried.put(PORT_1, identity, now=100.0)
    assert carried.take(PORT_1, now=161.0) is None


_PATHS = ["1-1", "1-2.3", "2-1"]
_EVENTS = st.one_of(
    st.builds(
        lambda path, action, dev: usb(path, action, DEVNUM=f"{dev:03d}", USEC_INITIALIZED=str(dev)),
        st.sampled_from(_PATHS),
        st.sampled_from(["add", "bind", "change", "remove"]),
        st.integers(1, 4),
    ),
    st.builds(
        lambda path, name, action, seq: block(path, name, action, DISKSEQ=str(seq)),
        st.sampled_from(_PATHS),
        st.sampled_from(["sda", "sda1", "sda2", "sdb", "sdb1"]),
        st.sampled_from(["add", "change", "remove"]),
        st.integers(1, 3),
    ),
)


@given(st.lists(_EVENTS, max_size=40), st.sets(st.integers(0, 40)))
def test_whatever_the_events_no_volume_is_on_two_ports_and_ports_match_their_device(
    facts: list[UsbFact], pauses: set[int]
) -> None:
    ports = Ports()
    for index, fact in enumerate(facts):
        port = ports.apply(fact)
        if index in pauses and port:
            ports.settle(port)
        current = ports.current()
        assert len({d.sysfs for d in current.values()}) == len(current)
        for name, device in current.items():
            assert device.port == name
            assert name.split("@")[0] == port_from_devpath(device.sysfs)
        assert ports.current() == current, "asking changes nothing"


@given(st.lists(_EVENTS, max_size=30), st.sampled_from(_PATHS))
def test_whatever_happened_before_a_remove_empties_the_place(facts: list[UsbFact], path: str) -> None:
    ports = Ports()
    for fact in facts:
        ports.apply(fact)
    ports.apply(usb(path, "remove"))
    assert all(device.sysfs != usb(path).devpath for device in ports.current().values())


@given(st.lists(_EVENTS, max_size=30))
def test_telling_all_changes_keeps_a_follower_in_step(facts: list[UsbFact]) -> None:
    """Applying the changes that were told gives the same picture as asking."""
    ports = Ports()
    follower: dict[str, UsbDevice] = {}
    for fact in facts:
        port = ports.apply(fact)
        if port:
            ports.settle(port)
        for change in changes(follower, ports.current()):
            if change.device is None:
                del follower[change.port]
            else:
                follower[change.port] = change.device
        assert follower == ports.current()


@given(st.lists(_EVENTS, max_size=30), st.lists(_EVENTS, max_size=10))
def test_a_new_enumeration_always_has_a_new_stay(before: list[UsbFact], between: list[UsbFact]) -> None:
    ports = Ports()
    stays: dict[tuple[str, int], str] = {}
    for fact in [*before, *between]:
        port = ports.apply(fact)
        if port:
            ports.settle(port)
        for device in ports.current().values():
            stays.setdefault((device.sysfs, device.dev), device.stay.split(".")[0])
            assert stays[device.sysfs, device.dev] == device.stay.split(".")[0]
    assert len({(path, stay) for (path, _), stay in stays.items()}) == len(stays)
