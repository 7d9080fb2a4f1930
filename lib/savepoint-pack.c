/* savepoint-pack.c — a base writes thousands of objects: one pack file (gitformat-pack(5), version 2, no deltas) with its index (version 2)
 * instead of as many loose files. Both get their names when they are complete, the index last: readers see all or nothing. */
#include "savepoint-parts.h"
#include "replace.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { HEADER = 12, FLUSH = 1 << 20, SHA1 = 20, SMALL = 4096, SMALL_BITS = 12, SMALL_MEMORY = 5 };

struct packed { unsigned char oid[VCR_OID]; uint32_t crc; uint64_t offset; };
struct vcr_pack {
	int fd;
	char *dir, *temp;
	struct packed *object;
	size_t n, cap;
	uint32_t *slot;          /* open addressing by the first bytes of the id: index + 1 */
	size_t slots;
	uint64_t flushed;        /* bytes that are in the file */
	struct vcr_buf out;
	z_stream z, small;       /* small: whose tables take no longer to clear than a small file takes to pack */
};

static size_t slot_of(const struct vcr_pack *p, const unsigned char oid[VCR_OID])
{
	uint64_t h;
	memcpy(&h, oid, sizeof h);
	size_t i = (size_t)h & (p->slots - 1);
	while (p->slot[i] && memcmp(p->object[p->slot[i] - 1].oid, oid, VCR_OID))
		i = (i + 1) & (p->slots - 1);
	return i;
}

static int grow(struct vcr_pack *p, struct vcr_error *e)
{
	if (p->n < p->cap)
		return 0;
	size_t cap = p->cap ? p->cap * 2 : 1024;
	struct packed *object = reallocarray(p->object, cap, sizeof *object);
	if (object)
		p->object = object;
	uint32_t *slot = object ? calloc(cap * 2, sizeof *slot) : NULL;
	if (!slot)
		return vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
	free(p->slot);
	p->slot = slot;
	p->slots = cap * 2;
	p->cap = cap;
	for (size_t i = 0; i < p->n; i++)
		p->slot[slot_of(p, p->object[i].oid)] = (uint32_t)i + 1;
	return 0;
}

int vcr_pack_new(struct vcr_pack **out, const char *git_dir, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct vcr_pack *p = calloc(1, sizeof *p);
	if (!p)
		return vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
	vcr_buf_init(&p->out, 0);
	vcr_buf_printf(&path, "%s/objects/pack", git_dir);
	p->dir = strdup(path.data);
	vcr_buf_puts(&path, "/tmp_pack_XXXXXX");
	p->temp = vcr_buf_take(&path, NULL);
	p->fd = p->temp ? mkostemp(p->temp, O_CLOEXEC) : -1;
	int err = p->fd < 0 ? vcr_error_sys(e, errno, "cannot write in %s", git_dir) : grow(p, e);
	if (!err && (!p->dir || deflateInit(&p->z, Z_BEST_SPEED) != Z_OK ||
	    deflateInit2(&p->small, Z_BEST_SPEED, Z_DEFLATED, SMALL_BITS, SMALL_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK))
		err = vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
	if (err) {
		vcr_pack_free(p);
		return err;
	}
	vcr_buf_add(&p->out, "PACK\0\0\0\2\0\0\0\0", HEADER);
	*out = p;
	return 0;
}

void vcr_pack_free(struct vcr_pack *p)
{
	if (!p)
		return;
	if (p->fd >= 0) {
		close(p->fd);
		unlink(p->temp);
	}
	deflateEnd(&p->z);
	deflateEnd(&p->small);
	vcr_buf_release(&p->out);
	free(p->object);
	free(p->slot);
	free(p->dir);
	free(p->temp);
	free(p);
}

bool vcr_pack_has(const struct vcr_pack *p, const unsigned char oid[VCR_OID])
{
	return p->slot[slot_of(p, oid)] != 0;
}

static int flush(struct vcr_pack *p, struct vcr_error *e)
{
	if (p->out.err)
		return vcr_error_set(e, p->out.err, "savepoint: %s", vcr_strerror(p->out.err));
	if (vcr_write_all(p->fd, p->out.data, p->out.len))
		return vcr_error_sys(e, errno, "%s", p->temp);
	p->flushed += p->out.len;
	vcr_buf_reset(&p->out);
	return 0;
}

/* Type and length: four bits, then seven at a time. */
static void add_head(struct vcr_buf *out, git_object_t type, size_t n)
{
	unsigned char c = (unsigned char)((unsigned)type << 4 | (n & 15));
	for (n >>= 4; n; n >>= 7) {
		vcr_buf_putc(out, (char)(c | 0x80));
		c = n & 127;
	}
	vcr_buf_putc(out, (char)c);
}

int vcr_pack_add(struct vcr_pack *p, git_object_t type, const void *data, size_t n, const unsigned char oid[VCR_OID], struct vcr_error *e)
{
	int err = grow(p, e);
	if (err)
		return err;
	size_t from = p->out.len;
	add_head(&p->out, type, n);
	z_stream *z = n <= SMALL ? &p->small : &p->z;
	char *to = vcr_buf_reserve(&p->out, deflateBound(z, n));
	if (!to || n > UINT32_MAX)
		return vcr_error_set(e, to ? VCR_ELIMIT : p->out.err, "savepoint: an object of %zu bytes", n);
	deflateReset(z);
	z->next_in = (unsigned char *)data;
	z->avail_in = (unsigned)n;
	z->next_out = (unsigned char *)to;
	z->avail_out = (unsigned)deflateBound(z, n);
	if (deflate(z, Z_FINISH) != Z_STREAM_END)
		return vcr_error_set(e, VCR_ENOMEM, "savepoint: zlib failed");
	vcr_buf_added(&p->out, z->total_out);
	struct packed *o = &p->object[p->n];
	memcpy(o->oid, oid, VCR_OID);
	o->offset = p->flushed + from;
	o->crc = (uint32_t)crc32(0, (unsigned char *)p->out.data + from, (unsigned)(p->out.len - from));
	p->slot[slot_of(p, oid)] = (uint32_t)++p->n;
	return p->out.len >= FLUSH ? flush(p, e) : 0;
}

static int by_oid(const void *a, const void *b)
{
	return memcmp(((const struct packed *)a)->oid, ((const struct packed *)b)->oid, VCR_OID);
}

/* The checksum at a pack's end covers the count in its header, which is known only now. */
static int close_pack(struct vcr_pack *p, unsigned char sum[SHA1], struct vcr_error *e)
{
	uint32_t count = htonl((uint32_t)p->n);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int err = flush(p, e);
	bool good = !err && md && EVP_DigestInit_ex(md, EVP_sha1(), NULL) == 1 && pwrite(p->fd, &count, sizeof count, 8) == sizeof count;
	char *to = good ? vcr_buf_reserve(&p->out, FLUSH) : NULL;
	ssize_t k = -1;
	for (off_t at = 0; to && (k = pread(p->fd, to, FLUSH, at)) > 0; at += k)
		EVP_DigestUpdate(md, to, (size_t)k);
	good = !k && EVP_DigestFinal_ex(md, sum, NULL) == 1 && !vcr_write_all(p->fd, (char *)sum, SHA1);
	EVP_MD_CTX_free(md);
	return good ? 0 : err ? err : vcr_error_sys(e, errno, "%s", p->temp);
}

static void add_be32(struct vcr_buf *b, uint32_t v)
{
	v = htonl(v);
	vcr_buf_add(b, &v, sizeof v);
}

static int make_index(struct vcr_pack *p, const unsigned char sum[SHA1], struct vcr_buf *idx, struct vcr_error *e)
{
	unsigned char own[SHA1];
	uint32_t far = 0;
	qsort(p->object, p->n, sizeof *p->object, by_oid);
	vcr_buf_add(idx, "\377tOc\0\0\0\2", 8);
	for (size_t byte = 0, i = 0; byte < 256; byte++) {
		while (i < p->n && p->object[i].oid[0] <= byte)
			i++;
		add_be32(idx, (uint32_t)i);
	}
	for (size_t i = 0; i < p->n; i++)
		vcr_buf_add(idx, p->object[i].oid, VCR_OID);
	for (size_t i = 0; i < p->n; i++)
		add_be32(idx, p->object[i].crc);
	for (size_t i = 0; i < p->n; i++)
		add_be32(idx, p->object[i].offset < 0x80000000u ? (uint32_t)p->object[i].offset : 0x80000000u | far++);
	for (size_t i = 0; i < p->n; i++)
		if (p->object[i].offset >= 0x80000000u) {
			add_be32(idx, (uint32_t)(p->object[i].offset >> 32));
			add_be32(idx, (uint32_t)p->object[i].offset);
		}
	vcr_buf_add(idx, sum, SHA1);
	if (idx->err || EVP_Digest(idx->data, idx->len, own, NULL, EVP_sha1(), NULL) != 1)
		return vcr_error_set(e, idx->err ? idx->err : VCR_ENOMEM, "savepoint: no index of a pack");
	vcr_buf_add(idx, own, SHA1);
	return 0;
}

static int publish(struct vcr_pack *p, const struct vcr_buf *idx, const char *hex, struct vcr_error *e)
{
	VCR_AUTO_BUF pack = VCR_BUF_INIT, name = VCR_BUF_INIT, temp = VCR_BUF_INIT;
	vcr_buf_printf(&pack, "%s/pack-%s.pack", p->dir, hex);
	vcr_buf_printf(&name, "%s/pack-%s.idx", p->dir, hex);
	vcr_buf_printf(&temp, "%s.idx", p->temp);
	int fd = open(temp.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		return vcr_error_sys(e, errno, "%s", temp.data);
	bool good = !vcr_write_all(fd, idx->data, idx->len) && !fchmod(p->fd, 0444) && !rename(p->temp, pack.data) && !rename(temp.data, name.data);
	int saved = errno;
	close(fd);
	if (!good)
		unlink(temp.data);
	return good ? 0 : vcr_error_sys(e, saved, "cannot write %s", pack.data);
}

int vcr_pack_finish(struct vcr_pack *p, struct vcr_error *e)
{
	VCR_AUTO_BUF idx = VCR_BUF_INIT;
	unsigned char sum[SHA1];
	char hex[41];
	int err = 0;
	if (p->n && !(err = close_pack(p, sum, e)) && !(err = make_index(p, sum, &idx, e))) {
		vcr_store_hex(sum, hex);
		err = publish(p, &idx, hex, e);
	}
	vcr_pack_free(p);
	return err;
}
