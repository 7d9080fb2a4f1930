/* sentinel-cache.h — what a scan has found in files that have not changed since: one file, mapped, written anew as a whole.
 *
 * A file is unchanged if its path, size, inode and the times of its content and its status are, and these are older than the cache by two seconds.
 * Everything is under a key: of the policy, of this program, of the grammars. A cache under another key, or damaged, is as none; offsets are checked.
 *
 * Layout, native byte order: struct vcr_cache_head; files, sorted by path; then functions, findings, tokens and words (NUL-terminated), each 8-aligned.
 * Places are bytes from the beginning. */
#ifndef VCR_SENTINEL_CACHE_H
#define VCR_SENTINEL_CACHE_H
#include "sentinel-scan.h"

struct vcr_scan_cache;
/* Never fails: without a cache it is empty. NULL: no memory. */
struct vcr_scan_cache *vcr_scan_cache_open(const char *path, uint64_t key);
void vcr_scan_cache_close(struct vcr_scan_cache *c);
/* The file as it was found then, if it is unchanged (f->id says how it is now). What is filled in points into the cache, which must live as long. */
bool vcr_scan_cache_get(const struct vcr_scan_cache *c, struct vcr_scanned_file *f);
/* Findings between files, if all files are those of then. */
bool vcr_scan_cache_across(const struct vcr_scan_cache *c, const struct vcr_scanned *s, struct vcr_findings *out);
/* Replaces the cache; 0600, its directory is made. VCR_EIO. */
int vcr_scan_cache_write(const char *path, uint64_t key, const struct vcr_scanned *s, struct vcr_error *e);
#endif
