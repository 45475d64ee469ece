"""CUDA compute capabilities of NVIDIA's cards, as NVIDIA publishes them. Pure.

https://developer.nvidia.com/cuda-gpus and /cuda-legacy-gpus; a card that is not here is not known.
"""

from __future__ import annotations

from collections.abc import Mapping

TABLE = """
12.0 RTXPRO6000 RTXPRO5000 RTXPRO4500 RTXPRO4000 RTX5090 RTX5080 RTX5070Ti RTX5070 RTX5060Ti RTX5060
10.3 B300 GB300
10.0 B200 GB200
9.0 H100 H100NVL H200 H200NVL GH200 H800 H20
8.9 L4 L40 L40S RTX6000Ada RTX5000Ada RTX4500Ada RTX4000Ada RTX2000Ada RTX4090 RTX4080 RTX4070Ti
8.9 RTX4070 RTX4060Ti RTX4060
8.6 A40 A10 A10G A16 A2 A6000 A5000 A4000 A2000 RTX3090Ti RTX3090 RTX3080Ti RTX3080 RTX3070Ti
8.6 RTX3070 RTX3060Ti RTX3060
8.0 A100 A30 A800
7.5 T4 T4G RTX8000 RTX6000 RTX5000 RTX4000 TITANRTX RTX2080Ti RTX2080 RTX2070 RTX2060
7.0 V100 V100S TITANV GV100
6.1 P40 P4 P6000 P5000 P4000 GTX1080Ti GTX1080 GTX1070 GTX1060 TITANXp
6.0 P100 GP100
5.2 M60 M40
3.7 K80
"""
CAPABILITIES: Mapping[str, tuple[int, int]] = {
    name: (int(major), int(minor))
    for line in TABLE.split("\n")
    if line
    for version, *names in [line.split()]
    for major, minor in [version.split(".")]
    for name in names
}


def at_least(capability: tuple[int, int]) -> list[str]:
    """Return the cards that are known to have that compute capability or a newer one."""
    return sorted(name for name, has in CAPABILITIES.items() if has >= capability)
