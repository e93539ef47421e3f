#!/usr/bin/env bash
# Proves that .gpu/ is enough: builds the program from it alone and trains two steps, with the packages' own headers,
# link names and pkg-config out of sight where this may be arranged (as root), and with what was used checked in any
# case. For scripts/test.sh, after scripts/gpu_pack.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."

hide() { # in a mount namespace of our own: everything that is packed is hidden behind /dev/null
    local name file multiarch
    multiarch=$(gcc -print-multiarch)
    while read -r name; do
        case $name in
        ./include/*) name=${name#./include/} ;;
        ./lib/lib*.so | ./lib/lib*.a) name=$(basename "$name") ;;
        *) continue ;;
        esac
        for file in "/usr/include/$name" "/usr/include/$multiarch/$name" "/usr/lib/$multiarch/$name"; do
            # A link is hidden by what it points to, unless programs run on that.
            if [ -f "$file" ] && { [ ! -L "$file" ] || [[ $file = *dnnl* ]]; }; then
                mount --bind /dev/null "$(readlink -f "$file")"
            fi
        done
    done < <(tar -tzf .gpu/prefix.tar.gz)
    mount --bind /dev/null "$(readlink -f "$(command -v pkg-config)")"
}

if [ "${1:-}" = hidden ]; then
    hide
    ! pkg-config --version >/dev/null 2>&1 || { echo "packed_build: pkg-config is still in sight" >&2; exit 1; }
    echo "packed_build: the system's own are out of sight" >&2
elif unshare -m true 2>/dev/null; then
    exec unshare -m "$0" hidden
fi
export RADIALOG_CHECK_TARGETS="radialog test_tensor" RADIALOG_CHECK_UNOPTIMISED=1
# A rehearsal has more time, and needs no GPU.
scripts/gpu_check.sh --rehearse unpack build smoke
