#!/usr/bin/env bash
# A machine to throw away: the files of this one, with every change kept apart in memory, a network
# of its own with nothing but the loopback interface, and processes of its own. Runs the shell
# commands that come on standard input, as root, in a new folder.
#
# Called by machine.rs, which has `unshare` make the namespaces:
#   machine.sh SCRATCH SOURCES BINARY
set -euo pipefail
scratch=$1 sources=$2 binary=$3
here=$(dirname "$0")

mount -t tmpfs -o mode=0755 tmpfs "$scratch"
root=$scratch/root
mkdir "$scratch"/{upper,work,root}
mount -t overlay overlay \
  -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$root"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

# The program under test comes first in PATH, and beside the sources as cargo builds it.
mkdir -p "$root"/opt/tidings/bin "$root"/usr/src/tidings/target/release "$root"/srv/new
install -m 0755 "$here/systemctl.sh" "$root/opt/tidings/bin/systemctl"
install -m 0755 "$here/journalctl.sh" "$root/opt/tidings/bin/journalctl"
install -m 0755 "$here/kubelet.py" "$root/opt/tidings/bin/kubelet"
for copy in opt/tidings/bin/tidings usr/src/tidings/target/release/tidings; do
  : > "$root/$copy"
  mount --bind "$binary" "$root/$copy"
done
cp -r "$sources/packaging" "$root/usr/src/tidings/"

# The names of the documents are this machine.
ip link set lo up
printf '127.0.0.1 localhost broker.example.org ca.example.org\n' > "$scratch/hosts"
mount --bind "$scratch/hosts" "$root/etc/hosts"

# Standard input of what stays: open, and silent.
mkfifo "$scratch/upper/silence"

cd "$root"
echo '@up'
exec env --ignore-environment \
  PATH=/opt/tidings/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  HOME=/root LANG=C.UTF-8 SOURCES=/usr/src/tidings \
  chroot "$root" bash --noprofile --norc
