# Makes the machine of systemd_machine.py and becomes its systemd. In new namespaces, in an empty
# folder: $1 Python's prefix, $2 its program below that, $3 the daemon, $4 what that is made of.
set -eu

mount -t tmpfs -o mode=755 machine .
cd "$PWD"
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work machine root
cd root

# Nothing of this machine's is started, but for the journal.
rm -rf etc/systemd etc/tocsin opt/tocsin opt/python var/lib/private var/lib/tocsin
for lib in lib usr/lib; do
    rm -rf "$lib"/systemd/system-generators "$lib"/systemd/system/*.wants
done
mkdir -p etc/systemd/journald.conf.d etc/systemd/system/sysinit.target.wants
printf '[Journal]\nStorage=volatile\nAudit=no\n' > etc/systemd/journald.conf.d/machine.conf
ln -s /lib/systemd/system/systemd-journald.service etc/systemd/system/sysinit.target.wants/
: > etc/machine-id

# What a systemd in a container finds already there; the kernel's settings are not its own.
mount -t proc proc proc
mount -o bind,ro proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for node in null zero full random urandom tty; do
    : > "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp

# Where people live is hidden from the service, and this tree and Python may be there.
mkdir -p opt/python opt/tocsin/bin opt/tocsin/daemon opt/tocsin/packages
mount -o bind,ro "$1" opt/python
mount -o bind,ro "$3" opt/tocsin/daemon
mount -o bind,ro "$4" opt/tocsin/packages
cat > opt/tocsin/bin/tocsin << END
#!/bin/sh
export PYTHONHOME=/opt/python LD_LIBRARY_PATH=/opt/python/lib PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=/opt/tocsin/daemon:/opt/tocsin/packages
exec /opt/python/$2 -m tocsin "\$@"
END
chmod 755 opt/tocsin/bin/tocsin

mkdir run/old
pivot_root . run/old
umount -l /run/old
# Credentials are mounted by a process of systemd's elsewhere, and appear by propagation.
mount --make-rshared /
echo "systemd is next"
exec env -i PATH="$PATH" container=test /lib/systemd/systemd --log-target=journal \
    --show-status=no --unit=multi-user.target
