# shellcheck shell=bash disable=SC2154
# The steps of scripts/gpu_check.sh that unpack .gpu/ and build from it; sourced there, whose variables these are.

step_unpack() {
    [ -f .gpu/prefix.tar.gz ] || fail "no .gpu/prefix.tar.gz: scripts/gpu_pack.sh makes it, and it must travel here"
    rm -rf "$prefix"
    mkdir -p "$prefix"
    tar -xzf .gpu/prefix.tar.gz -C "$prefix" || fail "cannot unpack"
    local packed here
    packed=$(sed -n 's/^glibc //p' "$prefix/LIST")
    here=$(ldd --version | sed -n '1s/.* //p')
    [ "$(printf '%s\n' "$packed" "$here" | sort -V | head -n 1)" = "$packed" ] ||
        fail "packed where glibc is $packed, here it is $here: pack on an older system"
    note "$(sed -n 1p "$prefix/LIST"), glibc $here, $(cores) cores, $(gcc -dumpfullversion) gcc"
    if has_gpu; then
        note "$(nvidia-smi --query-gpu=name,memory.total,driver_version,compute_cap --format=csv,noheader | head -n 1)"
    else
        note "no GPU"
    fi
}

# Folders with headers that CUDA's own lacks: of the python wheels, else the packed ones.
cuda_include_folders() {
    local cuda name folder
    cuda=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
    for name in cudnn.h nccl.h cublasLt.h; do
        [ -f "$cuda/include/$name" ] && continue
        folder=$(python3 - "$name" <<'END'
import glob, os, site, sys
for base in [*site.getsitepackages(), site.getusersitepackages()]:
    for header in glob.glob(os.path.join(base, "nvidia", "*", "include", sys.argv[1])):
        print(os.path.dirname(header))
        sys.exit()
END
        )
        echo "${folder:-$prefix/include-cuda}"
    done | sort -u
}

step_build() {
    local start=$SECONDS cuda=OFF flags="" type=Release kernels="" arch folder
    if [ -n "${RADIALOG_CHECK_UNOPTIMISED:-}" ]; then type=Plain kernels="-Xcicc -O0 -Xptxas -O0"; fi # without flags
    if command -v nvcc >/dev/null && [ -z "${RADIALOG_CHECK_CPU_ONLY:-}" ]; then
        cuda=ON
        for folder in $(cuda_include_folders); do flags="$flags -idirafter $folder"; done
    elif has_gpu; then
        fail "there is a GPU but no nvcc"
    fi
    arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -dc 0-9)
    rm -rf "$build" "$work/data" # which an older program may have made
    # Libraries of the prefix find each other by the program's old-style rpath, so that python, cmake and others
    # keep the system's.
    cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=$type -DRADIALOG_CUDA=$cuda \
        -DRADIALOG_CUDA_ARCH="${arch:-90}-real" -DCMAKE_C_FLAGS="$flags" -DCMAKE_CUDA_FLAGS="$kernels" \
        -DCMAKE_PREFIX_PATH="$prefix" -DPKG_CONFIG_EXECUTABLE="$prefix/bin/pkg-config" \
        -DDNNL_INCLUDE_DIR="$prefix/include" -DDNNL_LIBRARY="$prefix/lib/libdnnl.so" \
        -DZLIB_INCLUDE_DIR="$prefix/include" -DZLIB_LIBRARY="$prefix/lib/libz.so" \
        -DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON -DRADIALOG_DICOM=OFF \
        -DCMAKE_EXE_LINKER_FLAGS="-Wl,--disable-new-dtags,-rpath,$prefix/lib" || fail "configuring failed"
    # shellcheck disable=SC2086
    cmake --build "$build" ${RADIALOG_CHECK_TARGETS:+--target $RADIALOG_CHECK_TARGETS} -j "$(cores)" ||
        fail "the build failed"
    note "built in $((SECONDS - start)) s, CUDA $cuda"
    check_origin
}

# Nothing of what is packed may have come from the system instead: no header, no library.
check_origin() {
    local bad
    (cd "$prefix/include" && find . -type f -printf '/usr/include/%P\n' | sort) >"$work/packed.headers"
    ninja -C "$build" -t deps 2>/dev/null | sed -n 's/^ *//p' | sed "s,/usr/include/$(gcc -print-multiarch)/,/usr/include/," |
        grep '^/usr/include/' | sort -u >"$work/used.headers"
    bad=$(comm -12 "$work/packed.headers" "$work/used.headers" | head -n 3)
    [ -z "$bad" ] || fail "headers of the system instead of the packed ones: $bad"
    [ -x "$radialog" ] || return 0
    bad=$(ldd "$radialog" | awk -v lib="$prefix/lib/" '/=>/ && index($3, lib) != 1 { print $1 }' |
        while read -r name; do [ ! -e "$prefix/lib/$name" ] || echo "$name"; done)
    [ -z "$bad" ] || fail "libraries of the system instead of the packed ones: $bad"
    ! ldd "$radialog" | grep 'not found' || fail "libraries are missing"
}
