#!/bin/sh
# Takes out of a Debian image with Python what nobody needs to run a program: package managers, Perl, documentation, and
# the rights of programs that have more than who starts them. A shell and its tools stay, and so does Debian's list of what
# is installed, for those who look for vulnerable packages.
set -eu

python3 -m pip uninstall -q -y pip setuptools wheel >/dev/null 2>&1 || true # Debian's pip is a package; it goes below
installed() { dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null | sed -n 's/^ii *//p'; }
rm -f /var/lib/dpkg/info/*.prerm /var/lib/dpkg/info/*.postrm # they would tidy up what goes as a whole
# shellcheck disable=SC2046 # a list of words
dpkg --purge --force-all $(installed 'perl*' 'libperl*' 'python3-pip' 'python3-setuptools' 'python3-wheel' \
    'python3-pkg-resources' 'python3-venv' 'python3.11-venv' 'python3-distutils' 'python3-lib2to3' 'python-pip-whl' \
    'python3-setuptools-whl' 'python3-pip-whl' 'apt' 'libapt-pkg*' 'gpgv' 'debian-archive-keyring' 'adduser' 'debconf*' \
    'e2fsprogs' 'libext2fs*' 'libss2' 'libcom-err*' 'logsave' 'mount' 'passwd' 'login' 'netbase' 'util-linux*' 'bsdutils' \
    'sysvinit-utils' 'init-system-helpers' 'usr-is-merged' 'usrmerge' 'tzdata' 'libgnutls*' 'libp11-kit*' 'libsystemd*' \
    'libgcrypt*' 'libhogweed*' 'libnettle*' 'libunistring*' 'libidn2*' 'libgssapi*' 'libkrb5*' 'libk5crypto*' 'libpam*' \
    'libsemanage*' 'libsepol*' 'libudev*' 'libxxhash*' 'libtasn1*' 'libdb5*' 'libgdbm*' 'libtirpc*' 'libnsl*' \
    'diffutils' 'ncurses-bin' 'media-types') >/dev/null 2>&1
dpkg --purge --force-all dpkg >/dev/null 2>&1

rm -rf /etc/apt /etc/pam* /etc/perl /var/lib/apt /var/lib/dpkg/info /var/cache /var/log /usr/share/doc /usr/share/man \
    /usr/share/info /usr/share/locale /usr/share/lintian /usr/share/bash-completion /usr/share/perl* /usr/share/zoneinfo \
    /usr/lib/*/gconv /usr/lib/*/perl* /root/.cache /tmp/* /var/tmp/*
for python in /usr/local/lib/python3.* /usr/lib/python3.*; do
    for part in test idlelib turtledemo tkinter lib2to3 ensurepip pydoc_data; do rm -rf "${python:?}/$part"; done
done
find / -xdev -type d -name __pycache__ -prune -exec rm -rf {} +
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
mkdir -p /var/cache /var/log
