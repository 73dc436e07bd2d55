#!/usr/bin/env bash
# overlay_test.sh: the upper layer of an overlay file system (containers have one) on the volume, written at one site, used at the other.
. "$(dirname "$0")/lib.sh"
two_sites
mkdir "$E/upper" "$E/work" "$T/lower" "$T/merged"
MEDIA+=("$T/merged") # taken away at the end
overlay_on() { mount -t overlay overlay -o "lowerdir=$T/lower,upperdir=$1/upper,workdir=$1/work" "$T/merged" || fail "no overlay on $1"; }
state() { (cd "$T/merged" && find . -printf '%P %y %m %s %l\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum); }

step "a lower layer is changed, in an upper one at east"
mkdir -p "$T/lower/folder/below" "$T/lower/gone" "$T/lower/anew"
for name in file other folder/a folder/below/b gone/x anew/old; do echo "lower $name" >"$T/lower/$name"; done
ln -s file "$T/lower/link"
overlay_on "$E"
cd "$T/merged" || exit
echo changed >>file
rm other
mv folder/a folder/renamed
mv folder/below folder/moved 2>/dev/null || cp -a folder/below folder/moved # without redirect_dir the kernel says EXDEV, and mv copies
rm -r gone
rm -r anew
mkdir anew
echo new >anew/new
ln file hard
chmod 600 folder/renamed
setfattr -n user.colour -v blue file
truncate -s 1M large
mkfifo pipe
cd /
state >"$T/at-east"
umount "$T/merged"
[[ $(stat -c %F:%t:%T "$W/upper/other") == "character special file:0:0" ]] || fail "west does not have the whiteout: $(stat "$W/upper/other")"

step "west has the same"
overlay_on "$W"
state >"$T/at-west"
diff "$T/at-east" "$T/at-west" || fail "the overlay shows something else at west"
same "$(getfattr --only-values -n user.colour "$T/merged/file" 2>/dev/null)" blue
same "$(ls -A "$T/merged/anew")" new "what is in a directory that was made anew"
echo west >"$T/merged/of-west"
umount "$T/merged"
same "$(cat "$E/upper/of-west")" west
finish
