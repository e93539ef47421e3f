#!/usr/bin/env bash
# scripts/setup.sh [PACKAGE...]: installs what building and running need, and the PACKAGEs, as far as it is missing
# (Debian 12, Ubuntu 22.04 and later). Does nothing, and needs no network, where everything is there.
set -euo pipefail

packages=(
    gcc g++ cmake ninja-build pkg-config
    libdnnl-dev libhdf5-dev libcjson-dev libjpeg62-turbo-dev libpng-dev libdeflate-dev zlib1g-dev
    libutf8proc-dev libsentencepiece-dev libdcmtk-dev libmicrohttpd-dev
    libopenmpi-dev openmpi-bin
    check python3 git
)

# From Debian 13 on sentencepiece.pc names protobuf's module, which its package does not bring.
packages+=(libprotobuf-dev "$@")

# Ubuntu calls two of them otherwise.
# shellcheck disable=SC1091
if [ -r /etc/os-release ] && . /etc/os-release && [ "${ID:-}" = ubuntu ]; then
    packages=("${packages[@]/libjpeg62-turbo-dev/libjpeg-turbo8-dev}")
fi

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "setup: run as root: apt-get install ${missing[*]}" >&2; exit 1; }
    sudo=sudo
fi
echo "setup: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
