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
  if ! mkdir -p "$build" 2>/dev/null || ! { : >>"$build/.lock"; } 2>/dev/null; then
    refuse_build "$build"
    return 1
  fi
  (
    if ! flock -n 9; then
      echo "waiting for another build in $build$(sed -n '1s/^/, of process /p' "$build/.lock")" >&2
      flock 9
    fi
    if ! { echo "$BASHPID" >"$build/.lock"; } 2>/dev/null; then
      refuse_build "$build"
      exit 1
    fi
    if [[ ! -e $build/build.ninja ]]; then
      run_logged "$log" cmake --preset "$preset" -S "$root" || exit 1
    fi
    run_logged "$log" ninja -C "$build" -j"$(nproc)" "$@" || exit 1
  ) 9>>"$build/.lock"
}

# refuse_build BUILD: says why nothing can be built there, and what to do.
refuse_build() {
  local there=$1 why
  while [[ ! -e $there ]]; do there=$(dirname "$there"); done
  if [[ -w $there ]]; then
    why="the disk is full; df $there says how full"
  elif [[ $(stat -c %u "$there") != "$EUID" && $EUID != 0 ]]; then
    why="it belongs to $(stat -c %U "$there"). Clone it to a folder of your own: git clone $root"
  else
    why="it is read-only. Clone it to a folder of your own: git clone $root"
  fi
  printf 'nothing can be built in %s: %s\n' "$1" "$why" >&2
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
