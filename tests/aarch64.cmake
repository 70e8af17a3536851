# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Cairn authors
#
# The toolchain of preset aarch64: Debian's cross compiler; libraries of arm64 that lie unpacked in a folder of their own
# (./dev aarch64 puts them there), so that nothing of them is installed; and qemu-user, which runs what is built.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(cairn_cache "$ENV{XDG_CACHE_HOME}")
if(NOT cairn_cache)
  set(cairn_cache "$ENV{HOME}/.cache")
endif()
set(CMAKE_FIND_ROOT_PATH ${cairn_cache}/cairn-aarch64 /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${cairn_cache}/cairn-aarch64)
set(ENV{PKG_CONFIG_LIBDIR} ${cairn_cache}/cairn-aarch64/usr/lib/aarch64-linux-gnu/pkgconfig)

# qemu has an entry for each page of address space, so a process that reserved its terabyte would wait for gigabytes of
# them: with 16 GiB in all the heap reserves 8. A core file is written for each process that aborts, and takes seconds.
set(CMAKE_CROSSCOMPILING_EMULATOR prlimit --as=17179869184 --core=0 qemu-aarch64 -L /usr/aarch64-linux-gnu)
