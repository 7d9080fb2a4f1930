/* index.h — where the lines of a large session file are, kept so that it need not be read to be opened: $XDG_CACHE_HOME/vcr/index/DEV-INO.
 *
 * An index is speed and nothing else: the session file alone is always enough. It holds offsets, times, types and hashes of ids, no text. It is in
 * a directory of the user's own and not beside the file, so that none comes with a recording from elsewhere; one for a directory that cannot be written
 * works too. It is valid if and only if the file is the one it was made of (device, inode, size, mtime, ctime and a hash of its first and last 4 KB), its own
 * sum is right, and all in it is within the file's bounds; else it is as if there were none. Who reads a line where an index says it is looks whether
 * it is that line (reader-index.c). It is made when a file of VCR_INDEX_BYTES or more has been read, by whoever reads it first: the collector, when it has
 * ended one. Of the files in the directory the MOST latest are kept.
 *
 * The file, in the machine's byte order: struct vcr_index_head; ntypes types of 64 bytes, NUL-terminated; n struct vcr_index_line, frames by time and line,
 * then others, then those to be looked at, both by line; vcr_reader_hash of all that, which is
 * against accidents: libcrypto would cost a millisecond before its first sum. Against people there are the directory and the look at each line. */
#ifndef VCR_INDEX_H
#define VCR_INDEX_H
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"

enum { VCR_INDEX_BYTES = 4 << 20, VCR_INDEX_LINES = 1 << 20, VCR_INDEX_TYPES = 64, VCR_INDEX_TYPE = 64 };
enum vcr_index_kind {
	VCR_INDEX_FRAME, VCR_INDEX_OTHER,
	VCR_INDEX_LOOK /* a session header, or a line of which something is said: it is read again */
};

/* Which file it is of. */
struct vcr_index_file { uint64_t dev, ino, size, mtime_ns, ctime_ns, ends; };
struct vcr_index_head {
	char magic[8];
	struct vcr_index_file of;
	int64_t lines, last_line;     /* newlines; the last line that is not blank */
	uint32_t ntypes, n;
};
struct vcr_index_line {
	uint64_t offset, id_hash;
	int64_t time_ns, line;
	uint32_t len;
	uint8_t kind, type, call, zero;
};

enum { VCR_INDEX_SUM = 8 };

/* A decoded index; type and line point into the text, which has to live as long. */
struct vcr_index { struct vcr_index_head head; const char *type, *line; };
const char *vcr_index_type(const struct vcr_index *x, unsigned i);
struct vcr_index_line vcr_index_line(const struct vcr_index *x, size_t i);

/* head->magic is filled in. The bytes of an index; `type` are head->ntypes names of VCR_INDEX_TYPE bytes. */
int vcr_index_encode(struct vcr_buf *out, struct vcr_index_head *head, const char *type, const struct vcr_index_line *line);
/* VCR_ECORRUPT: it is none. */
int vcr_index_decode(struct vcr_index *x, const char *p, size_t n);

/* What fd is now. VCR_EIO; VCR_EINVAL: no regular file. */
int vcr_index_identify(int fd, struct vcr_index_file *of);
/* The index of that file: 0, or 1 if there is none that fits. */
int vcr_index_load(const struct vcr_index_file *of, struct vcr_buf *text, struct vcr_index *x);
/* Keep it, if that is possible. */
void vcr_index_save(const struct vcr_index_file *of, const struct vcr_buf *text);
/* There is none any more. */
void vcr_index_drop(const struct vcr_index_file *of);

#endif
