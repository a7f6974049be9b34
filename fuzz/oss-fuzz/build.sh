#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Builds the fuzz targets as OSS-Fuzz asks for it (google.github.io/oss-fuzz, "build.sh script requirements"): compilers and
# flags are $CC, $CXX, $CFLAGS and $CXXFLAGS, the engine is $LIB_FUZZING_ENGINE, what is left in $OUT needs nothing else:
#   fuzz_NAME  fuzz_NAME_seed_corpus.zip  fuzz_NAME.options  fuzz_NAME.dict (where there are words)  lib/  images/
# $WORK (default: a temporary folder) is for the build. Targets as arguments; default: all.
set -euo pipefail
: "${CC:?}" "${CXX:?}" "${LIB_FUZZING_ENGINE:?}" "${OUT:?}"
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
work=${WORK:-$(mktemp -d)}/mm-supervisor
mkdir -p "$OUT/lib" "$work"
targets=("$@")
if ((${#targets[@]} == 0)); then
  for source in "$root"/fuzz/*.cpp; do targets+=("$(basename "$source" .cpp)"); done
fi

# The sanitizers are in the flags. Warnings of another compiler than ours are not errors.
cmake -G Ninja -S "$root" -B "$work" -DCMAKE_BUILD_TYPE=None -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" \
  -DCMAKE_C_FLAGS="${CFLAGS:-}" -DCMAKE_CXX_FLAGS="${CXXFLAGS:-} -Wno-error" -DMM_SANITIZE=OFF \
  -DMM_FUZZING_ENGINE="$LIB_FUZZING_ENGINE" -DCMAKE_BUILD_RPATH="\$ORIGIN/lib" -DCMAKE_BUILD_RPATH_USE_ORIGIN=ON \
  -DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags  # the libraries of libraries are there, too
machines=()  # targets that boot images
for target in "${targets[@]}"; do
  [[ $target != communicate && $target != driver ]] || machines=(images)
done
ninja -C "$work" "${machines[@]}" "${targets[@]/#/fuzz_}"

# pack NAME: what goes with a target.
pack() {
  local name=$1 program=$OUT/fuzz_$1
  cp "$work/fuzz/fuzz_$name" "$program"
  rm -f "${program}_seed_corpus.zip"
  (cd "$root/fuzz/corpus/$name" && python3 -m zipfile -c "${program}_seed_corpus.zip" ./*)
  {
    printf '[libfuzzer]\nrss_limit_mb = 4096\nmax_len = 65536\n'
    if [[ -f $root/fuzz/dictionaries/$name.dict ]]; then
      cp "$root/fuzz/dictionaries/$name.dict" "$program.dict"
      printf 'dict = fuzz_%s.dict\n' "$name"
    fi
    # The machines run on fibers, whose shadow stacks would pile up.
    printf '\n[asan]\ndetect_stack_use_after_return = 0\n'
  } >"$program.options"
  # All but what every system with this C library has.
  ldd "$work/fuzz/fuzz_$name" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' |
    grep -Ev '/(libc|libm|libdl|libpthread|librt|libresolv|ld-linux-x86-64)\.so' | xargs -r -I{} cp -L {} "$OUT/lib/"
}
for target in "${targets[@]}"; do pack "$target"; done
if ((${#machines[@]})); then
  rm -rf "$OUT/images"
  cp -r "$work/images" "$OUT/images"
fi
