"""Is what nvidia-smi prints understood, of old and new drivers, and when it fails or hangs?

The reports are cut down to what is read; their names are those that NVIDIA documents (nvidia-smi --help, nvsmi DTD).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lightning_cv.doctor import nvidia
from lightning_cv.doctor.facts import Card, Driver
from lightning_cv.doctor.nvidia import has_hardware, parse, read_driver

MIB = 1 << 20
REPORT = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
  <driver_version>555.42.06</driver_version>
  <cuda_version>12.5</cuda_version>
  <attached_gpus>2</attached_gpus>
  <gpu id="00000000:01:00.0">
    <product_name>NVIDIA L4</product_name>
    <uuid>GPU-c5533cd4</uuid>
    <mig_mode><current_mig>N/A</current_mig></mig_mode>
    <mig_devices>None</mig_devices>
    <gpu_recovery_action>None</gpu_recovery_action>
    <compute_mode>Default</compute_mode>
    <fb_memory_usage><total>23034 MiB</total><reserved>434 MiB</reserved><used>1 MiB</used></fb_memory_usage>
    <clocks_event_reasons>
      <clocks_event_reason_gpu_idle>Active</clocks_event_reason_gpu_idle>
      <clocks_event_reason_sw_power_cap>Active</clocks_event_reason_sw_power_cap>
      <clocks_event_reason_hw_thermal_slowdown>Not Active</clocks_event_reason_hw_thermal_slowdown>
      <clocks_event_reason_hw_power_brake_slowdown>Not Active</clocks_event_reason_hw_power_brake_slowdown>
    </clocks_event_reasons>
    <ecc_errors>
      <volatile>
        <sram_correctable>7</sram_correctable>
        <sram_uncorrectable_parity>0</sram_uncorrectable_parity>
        <dram_uncorrectable>0</dram_uncorrectable>
      </volatile>
      <aggregate><dram_uncorrectable>9</dram_uncorrectable></aggregate>
    </ecc_errors>
    <remapped_rows>
      <remapped_row_pending>No</remapped_row_pending><remapped_row_failure>No</remapped_row_failure>
    </remapped_rows>
    <temperature><gpu_temp>45 C</gpu_temp></temperature>
  </gpu>
  <gpu id="00000000:02:00.0">
    <product_name>NVIDIA A100</product_name>
    <uuid>GPU-1</uuid>
    <mig_mode><current_mig>Enabled</current_mig></mig_mode>
    <mig_devices>
      <mig_device><index>0</index></mig_device>
      <mig_device><index>1</index></mig_device>
    </mig_devices>
    <gpu_recovery_action>Drain and Reset</gpu_recovery_action>
    <compute_mode>Exclusive_Process</compute_mode>
    <fb_memory_usage><total>40960 MiB</total><used>N/A</used></fb_memory_usage>
    <clocks_event_reasons>
      <clocks_event_reason_hw_thermal_slowdown>Active</clocks_event_reason_hw_thermal_slowdown>
      <clocks_event_reason_sw_thermal_slowdown>Active</clocks_event_reason_sw_thermal_slowdown>
      <clocks_event_reason_hw_power_brake_slowdown>Active</clocks_event_reason_hw_power_brake_slowdown>
    </clocks_event_reasons>
    <ecc_errors>
      <volatile>
        <sram_uncorrectable_parity>1</sram_uncorrectable_parity>
        <sram_uncorrectable_secded>2</sram_uncorrectable_secded>
        <dram_uncorrectable>4</dram_uncorrectable>
      </volatile>
    </ecc_errors>
    <remapped_rows>
      <remapped_row_pending>Yes</remapped_row_pending><remapped_row_failure>Yes</remapped_row_failure>
    </remapped_rows>
    <temperature><gpu_temp>90 C</gpu_temp></temperature>
  </gpu>
</nvidia_smi_log>
"""
OLD = """<nvidia_smi_log><driver_version>440.33</driver_version><gpu>
<product_name>Tesla V100</product_name>
<clocks_throttle_reasons>
  <clocks_throttle_reason_hw_thermal_slowdown>Active</clocks_throttle_reason_hw_thermal_slowdown>
</clocks_throttle_reasons>
<ecc_errors><volatile><single_bit><total>5</total></single_bit><double_bit><total>3</total></double_bit></volatile>
</ecc_errors></gpu></nvidia_smi_log>"""


def test_a_report_is_read_field_by_field():
    """A card within its power limit is not slowed down, and errors of earlier starts of the driver do not count."""
    assert parse(REPORT) == Driver(
        has_hardware=True,
        has_program=True,
        version="555.42.06",
        cuda="12.5",
        cards=(
            Card(index=0, name="NVIDIA L4", uuid="GPU-c5533cd4", memory=23034 * MIB, used=MIB, temperature_c=45),
            Card(
                index=1,
                name="NVIDIA A100",
                uuid="GPU-1",
                memory=40960 * MIB,
                used=None,
                mig=True,
                parts=2,
                uncorrected=7,
                remap_pending=True,
                remap_failed=True,
                recovery="Drain and Reset",
                slowed_by=("heat", "the power supply"),
                temperature_c=90,
                compute_mode="Exclusive_Process",
            ),
        ),
    )


def test_an_old_driver_says_the_same_with_other_names():
    driver = parse(OLD)
    assert driver is not None
    assert (driver.version, driver.cuda) == ("440.33", None)
    assert driver.cards == (Card(index=0, name="Tesla V100", uncorrected=3, slowed_by=("heat",)),)


@pytest.mark.parametrize("text", ["", "No devices were found", "<nvidia_smi_log>", "<html></html>"])
def test_what_is_no_report_is_none(text):
    assert parse(text) is None


def put_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """An nvidia-smi on the PATH."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_the_program_is_asked_for_everything_as_xml(tmp_path, monkeypatch):
    (tmp_path / "report.xml").write_text(REPORT)
    put_program(tmp_path, monkeypatch, f'test "$*" = "-q -x" && cat "{tmp_path}/report.xml"')
    assert read_driver(tmp_path) == parse(REPORT)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (
            "echo 'NVIDIA-SMI has failed because it has no driver.'; exit 9",
            "fails: NVIDIA-SMI has failed because it has",
        ),
        ("echo 'No devices were found'; exit 6", "fails: No devices were found"),
        ("exit 3", "ends with status 3"),
    ],
)
def test_a_program_that_fails_is_a_problem_with_its_words(tmp_path, monkeypatch, script, problem):
    put_program(tmp_path, monkeypatch, script)
    driver = read_driver(tmp_path)
    assert (driver.has_program, driver.has_hardware, driver.cards) == (True, False, ())
    assert f"nvidia-smi {problem}" in driver.problem


def test_a_program_that_hangs_is_a_problem_after_the_bound(tmp_path, monkeypatch):
    put_program(tmp_path, monkeypatch, "exec sleep 1000")
    monkeypatch.setattr(nvidia, "ANSWER_WITHIN_S", 0.1)
    assert read_driver(tmp_path).problem == "nvidia-smi does not answer within 0.1 s"


def test_without_the_program_a_card_is_known_from_the_bus_or_its_device_file(tmp_path, monkeypatch):
    """0x10de is NVIDIA's number at the PCI-SIG, class 03 a display; its audio part (04) is no GPU."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_driver(tmp_path) == Driver()

    def add(name: str, vendor: str, kind: str) -> None:
        device = tmp_path / "sys" / "bus" / "pci" / "devices" / name
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor + "\n")
        (device / "class").write_text(kind + "\n")

    add("0000:00:02.0", "0x8086", "0x030000")
    add("0000:01:00.1", "0x10de", "0x040300")
    assert not has_hardware(tmp_path)
    add("0000:01:00.0", "0x10de", "0x030200")
    assert read_driver(tmp_path) == Driver(has_hardware=True)
    (tmp_path / "other" / "dev").mkdir(parents=True)
    (tmp_path / "other" / "dev" / "nvidiactl").touch()
    assert not has_hardware(tmp_path / "other")
    (tmp_path / "other" / "dev" / "nvidia0").touch()
    assert has_hardware(tmp_path / "other")
