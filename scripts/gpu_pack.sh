#!/usr/bin/env bash
# Collects into .gpu/ what a machine with a GPU, CUDA and a compiler but no packages and no network lacks for the
# build and the tests: headers and shared libraries with what they need in turn, pkg-config, and radiographs in
# shards. At most 50 MB. scripts/gpu_check.sh unpacks and uses it there; docs/gpu.md has both.
# Copies of installed packages for a test machine: never committed, never given on.
#   scripts/gpu_pack.sh [--out DIR] [--studies N]    (default .gpu, 150; 0 leaves the shards out)
set -euo pipefail

limit=$((50 * 1000 * 1000))
out=.gpu studies=150
while [ $# -gt 0 ]; do
    case $1 in
    --out) out=$(realpath -m "${2:?--out needs a folder}"); shift ;;
    --studies) studies=${2:?--studies needs a number}; shift ;;
    *) echo "usage: scripts/gpu_pack.sh [--out DIR] [--studies N]" >&2; exit 2 ;;
    esac
    shift
done
cd "$(dirname "$0")/.."

# pkg-config module, library as the linker calls it, packages that may hold its headers (Debian, Ubuntu)
parts=(
    "- dnnl libdnnl-dev"
    "hdf5 hdf5 libhdf5-dev"
    "libcjson cjson libcjson-dev"
    "libjpeg jpeg libjpeg62-turbo-dev,libjpeg-turbo8-dev"
    "libpng png16 libpng-dev"
    "libdeflate deflate libdeflate-dev"
    "libutf8proc utf8proc libutf8proc-dev"
    "libmicrohttpd microhttpd libmicrohttpd-dev"
    "sentencepiece sentencepiece libsentencepiece-dev"
    "- sentencepiece_train libsentencepiece-dev"
    "zlib z zlib1g-dev"
    "check check_pic check"
    "libsubunit subunit libsubunit-dev"
)
# What every system with a compiler has, in its own version. GNU's OpenMP belongs to the compiler.
system='^(linux-vdso|ld-linux|libc|libm|libdl|librt|libpthread|libresolv|libutil|libgcc_s|libstdc\+\+|libgomp)[.-]'

scripts/setup.sh
scripts/build.sh cpu-release radialog >/dev/null
multiarch=$(gcc -print-multiarch)
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
mkdir -p "$prefix"/{bin,include,include-cuda,lib/pkgconfig} "$out"
list=$prefix/LIST
fail() { echo "gpu_pack: $*" >&2; exit 1; }

installed() { # the first of the comma-separated packages that is installed
    local package
    for package in ${1//,/ }; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' && echo "$package" && return
    done
    fail "none of $1 is installed"
}

copy_library() { # FILE: under its soname, unless it is there
    local file soname
    file=$(readlink -f "$1")
    soname=$(readelf -d "$file" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
    soname=${soname:-$(basename "$file")}
    [ -e "$prefix/lib/$soname" ] || cp "$file" "$prefix/lib/$soname"
    echo "$soname"
}

copy_needed() { # FILE: all that it needs and a bare system lacks
    local name path
    ldd "$1" | while read -r name _ path _; do
        case $path in /*) ;; *) continue ;; esac
        [[ $name =~ $system ]] || copy_library "$path" >/dev/null
    done
}

copy_headers() { # PACKAGE: from /usr/include, the machine's own folder merged into it
    local file to
    dpkg -L "$1" | grep '^/usr/include/' | while read -r file; do
        [ -f "$file" ] || continue
        to=$prefix/include/${file#/usr/include/}
        to=${to/include\/$multiarch/include}
        mkdir -p "$(dirname "$to")"
        cp -L "$file" "$to"
    done
}

write_module() { # MODULE: its pkg-config file with paths relative to itself
    local cflags="" libs flag
    for flag in $(pkg-config --cflags-only-I "$1"); do # but for folders of others' headers, which are not packed
        flag=${flag#-I/usr/include}
        # shellcheck disable=SC2016
        [ ! -d "$prefix/include$flag" ] || cflags+=' -I${prefix}/include'$flag
    done
    libs=$(pkg-config --libs "$1" | sed 's,-L[^ ]*,,g; s,-pthread,,g')
    cat >"$prefix/lib/pkgconfig/$1.pc" <<END
prefix=\${pcfiledir}/../..
Name: $1
Description: $1, packed for a machine without packages
Version: $(pkg-config --modversion "$1")
Cflags: -I\${prefix}/include$cflags
Libs: -L\${prefix}/lib $libs
END
}

add_part() { # MODULE LIBRARY PACKAGES
    local package folders file soname version
    package=$(installed "$3")
    version=$(dpkg-query -W -f='${Version}' "$package")
    copy_headers "$package"
    folders=$([ "$1" = - ] || pkg-config --libs-only-L "$1" | sed 's,-L,,g')
    for file in $folders /usr/lib/"$multiarch" /usr/lib; do
        if [ -e "$file/lib$2.so" ]; then file=$file/lib$2.so; break; fi
        if [ -e "$file/lib$2.a" ]; then file=$file/lib$2.a; break; fi
    done
    [ -f "$file" ] || fail "$package: no lib$2"
    if [[ $file = *.a ]]; then
        cp "$file" "$prefix/lib/"
        soname=$(basename "$file")
    else
        soname=$(copy_library "$file")
        [ -e "$prefix/lib/lib$2.so" ] || ln -s "$soname" "$prefix/lib/lib$2.so"
        copy_needed "$file"
    fi
    [ "$1" = - ] || write_module "$1"
    printf '%-28s %-24s %s\n' "$package" "$version" "$soname" >>"$list"
}

# pkg-config itself, which reads this prefix and nothing of the system's.
add_pkg_config() {
    local program
    program=$(readlink -f "$(command -v pkg-config)")
    cp "$program" "$prefix/bin/pkg-config-program"
    copy_needed "$program"
    cat >"$prefix/bin/pkg-config" <<'END'
#!/bin/sh
here=$(cd "$(dirname "$0")/.." && pwd)
export PKG_CONFIG_LIBDIR="$here/lib/pkgconfig" PKG_CONFIG_PATH= LD_LIBRARY_PATH="$here/lib"
exec "$here/bin/pkg-config-program" "$@"
END
    chmod +x "$prefix/bin/pkg-config"
    printf '%-28s %s\n' pkg-config "$("$program" --version)" >>"$list"
}

# Headers of cuDNN, cuBLAS and NCCL, for a machine whose CUDA has none. Their libraries are that machine's.
add_cuda_headers() {
    local cuda=${CUDA_HOME:-/usr/local/cuda} name
    for name in cudnn nccl cublas; do
        compgen -G "$cuda/include/$name*.h" >/dev/null || { echo "$name: no headers here" >>"$list"; continue; }
        cp "$cuda/include/$name"*.h "$prefix/include-cuda/"
        echo "headers of $name" >>"$list"
    done
}

{
    echo "radialog $(git rev-parse --short HEAD 2>/dev/null || echo 'of an unknown commit')"
    echo "glibc $(ldd --version | sed -n '1s/.* //p')"
} >"$list"
for part in "${parts[@]}"; do
    read -r module library packages <<<"$part"
    add_part "$module" "$library" "$packages"
done
add_pkg_config
add_cuda_headers
echo "MPI: left out; ranks on a GPU meet over TCP" >>"$list"
echo "DCMTK: left out for its size; built without DICOM there" >>"$list"

if [ "$studies" -gt 0 ]; then
    radialog=build/cpu-release/radialog
    # Small films: grain is what a stored square spends its bytes on.
    "$radialog" synth "$prefix/films" --studies "$studies" --seed 3 --max-side 256 --quiet >/dev/null
    rm -rf "$out/shards"
    "$radialog" ingest --source mimic "$prefix/films" --out "$out/shards" --compression deflate --quiet >/dev/null
    rm -rf "$prefix/films"
    "$radialog" inspect "$out/shards" | sed -n '1s/.*: /shards: /p' >>"$list"
fi

cp "$list" "$out/LIST"
tar -C "$prefix" --sort=name --owner=0 --group=0 --mtime=@0 -cf - . | gzip -9n >"$out/prefix.tar.gz"
{
    echo
    (cd "$prefix" && find lib bin include-cuda -type f -printf '%9s  %p\n' | sort -k2)
    echo "packed:"
    (cd "$out" && find . -type f ! -name LIST -printf '%9s  %P\n' | sort -k2)
} >>"$out/LIST"
bytes=$(find "$out" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
[ "$bytes" -le "$limit" ] || fail "$out holds $bytes bytes, more than $limit: fewer --studies"
echo "$out: $(awk "BEGIN { printf \"%.1f\", $bytes / 1e6 }") MB of at most 50; $out/LIST says what"
