#!/usr/bin/env bash
# Fetches the Google Fonts that cover Vietnamese and that no Debian package holds, as npm packages; needs npm.
#
#   examples/vi-small/fonts.sh FOLDER
#
# google-fonts.txt names each package of the scope @expo-google-fonts with its version. The fonts are under the
# Open Font License or the Apache License; families kept for testing, and their relatives, are not listed.
set -euo pipefail

folder=${1:?name a folder for the fonts}
list=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/google-fonts.txt
mkdir -p "$folder"
cd "$folder"
while read -r package; do
  [ -e ".$package.done" ] && continue
  archive=$(npm pack --silent "@expo-google-fonts/$package")
  tar xzf "$archive" --wildcards --transform 's,.*/,,' '*_400Regular.ttf' '*_700Bold.ttf' '*_400Regular_Italic.ttf' \
    2>/dev/null || true # few packages have all three
  rm "$archive"
  touch ".$package.done"
  echo "$package"
done <"$list"
echo "$(find . -name '*.ttf' | wc -l) fonts in $folder"
