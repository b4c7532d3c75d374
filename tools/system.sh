#!/usr/bin/env bash
# System libraries that Qt 6, OpenGL and the virtual screen need on Debian and Ubuntu.
# Installs what is missing where it may, else prints the line to run; never fails.
set -uo pipefail

wanted=(
    xvfb libegl1 libgl1 libgl1-mesa-dri libxkbcommon-x11-0 libdbus-1-3 libfontconfig1 libglib2.0-0
    libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxcb-image0 libxcb-render-util0 libxcb-xinerama0
)

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    [ "$(uname -s)" = Linux ] && echo "Not a Debian system: if napari does not start, install the like of: ${wanted[*]}"
    exit 0
fi

# Debian's own python3 comes without the means to make an environment.
"$(dirname "$0")/python.sh" >/dev/null 2>&1 || wanted+=(python3-venv)

missing=()
for package in "${wanted[@]}"; do
    # Newer releases carry some libraries under a name with the suffix t64.
    for name in "$package" "${package}t64"; do
        dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' && continue 2
    done
    missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

line="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -eq 0 ]; then
    become=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    become=(sudo -n)
else
    printf 'Some system libraries are missing. Run this once, then again:\n\n    sudo %s\n\n' "$line"
    exit 0
fi

echo "Installing system libraries: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install() { ${become[@]+"${become[@]}"} env DEBIAN_FRONTEND=noninteractive $line; }
install >/dev/null 2>&1 && exit 0
${become[@]+"${become[@]}"} apt-get update -qq
install >/dev/null || printf 'They could not be installed. Run this once, then again:\n\n    %s\n\n' "$line"
exit 0
