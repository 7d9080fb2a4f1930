/* attrs.h — extended attributes of a file as one text, and a file given exactly those (xattr(7)).
 *
 * Kept are user.*, access control lists (system.posix_acl_access, system.posix_acl_default) and capabilities (security.capability). Not trusted.* and what else
 * is below security: labels and signatures of the system's, which it gives by itself. The text has one line NAME=VALUE for each, sorted by name; a byte that is no
 * printable ASCII, '%' and '=' are %XX in both. So the same attributes are the same text, and none are an empty one.
 *
 * Names are those of the directory `dir`, which may be O_PATH, and have no slash in them; links are not followed (and have none of these). */
#ifndef VCR_ATTRS_H
#define VCR_ATTRS_H
#include <stdbool.h>
#include "buf.h"

/* Does the file system of that directory have any? */
bool vcr_attrs_any(int dir);
/* Appended. Where there are none to be read, nothing is; 1: more than VCR_MAX_ATTRS bytes, of which nothing is either.
 * VCR_ATTRS_CLOSED: some, or all, may not be read; the others are. */
enum { VCR_ATTRS_CLOSED = 2 };
int vcr_attrs_read(int dir, const char *name, struct vcr_buf *out);
/* Has it any that are kept? path: relative to dir, may have slashes. For many files: one system call where the kernel can (6.13). */
bool vcr_attrs_has(int dir, const char *path);
/* The file has these then, and no others of the kinds that are kept. 0; 1: some could not be set or taken away (errno: EACCES if one of them would need a
 * mode that lets it be written, else not permitted, no room, not on this file system); VCR_ESYNTAX: it is no such text, nothing was done. */
int vcr_attrs_write(int dir, const char *name, const char *text, size_t n);

#endif
