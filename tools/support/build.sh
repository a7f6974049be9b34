# SPDX-License-Identifier: BSD-2-Clause-Patent
# shellcheck shell=bash
#
# Sourced by tools/mmsim and tools/test: configure and build quietly. Needs $root, the top of the source tree.

# build_preset PRESET TARGET...: configures on first use, builds with every core. One line of progress on a terminal,
# nothing otherwise; on failure the log. Returns 1 when it fails. Two runs at once wait for each other.
build_preset() {
  local preset=$1
  shift
  local build=$root/build/$preset
  local log=$build/build.log
  mkdir -p "$build"
  (
    flock 9
    if [[ ! -e $build/build.ninja ]]; then
      run_logged "$log" cmake --preset "$preset" -S "$root" || exit 1
    fi
    run_logged "$log" ninja -C "$build" -j"$(nproc)" "$@" || exit 1
  ) 9>"$build/.lock"
}

# run_logged LOG COMMAND...
run_logged() {
  local log=$1
  shift
  local status=0
  if [[ -t 2 ]]; then
    local line columns
    columns=$(tput cols 2>/dev/null || echo 80)
    "$@" 2>&1 | tee "$log" | while IFS= read -r line; do
      [[ $line == ninja:* ]] && continue
      printf '\r\033[K%s' "${line:0:columns-1}" >&2
    done || status=${PIPESTATUS[0]}
    printf '\r\033[K' >&2
  else
    "$@" >"$log" 2>&1 || status=$?
  fi
  if ((status != 0)); then
    cat "$log" >&2
    printf 'failed (%s): %s\n' "$status" "$*" >&2
    return 1
  fi
}
