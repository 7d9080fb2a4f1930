/* beneath.h — opening files of a directory tree that somebody else may be rearranging, without ever leaving it.
 *
 * A name is relative to an open root directory, its components separated by single slashes. No symbolic link is followed, neither on the
 * way nor at the end (openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS; kernels and sandboxes without it: one openat with O_NOFOLLOW
 * per component). The kernel takes 4,095 bytes at once: a longer name is opened in parts, one beneath the other. Errors are errno, as of
 * open(2): ELOOP or ENOTDIR where a link stands, ENAMETOOLONG for a component that no file system has. */
#ifndef VCR_BENEATH_H
#define VCR_BENEATH_H
#include <stdbool.h>
#include <sys/types.h>

/* rel may be used: not empty, not absolute, no empty component, no ".", "..", and no ".git" anywhere; shorter than VCR_MAX_BENEATH. */
bool vcr_beneath_valid(const char *rel);
/* A descriptor (O_CLOEXEC), or -1. rel "" is the root itself. */
int vcr_beneath_open(int root, const char *rel, int flags, mode_t mode);
/* The directory that holds rel, opened (O_PATH), and the place of rel's last component in it; -1. */
int vcr_beneath_parent(int root, const char *rel, const char **name);

#endif
