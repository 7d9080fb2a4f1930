#include "packindex.h"
#include "buf.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OID = 20, HEAD = 8, FANOUT = 256 * 4, EACH = OID + 4 + 4, SUMS = 2 * OID, MAX_PACKS = 4096 };

struct pack { const unsigned char *map; size_t size; uint32_t n; };
struct vcr_packindex { struct pack *pack; size_t n, cap; };

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t fanout(const struct pack *k, unsigned byte)
{
	return be32(k->map + HEAD + 4 * byte);
}

/* Counts that never fall, and room for as many objects as the last one says. */
static bool is_sound(struct pack *k)
{
	if (k->size < HEAD + FANOUT + SUMS || memcmp(k->map, "\377tOc\0\0\0\2", HEAD))
		return false;
	for (unsigned i = 1; i < 256; i++)
		if (fanout(k, i - 1) > fanout(k, i))
			return false;
	k->n = fanout(k, 255);
	return k->n <= (k->size - HEAD - FANOUT - SUMS) / EACH;
}

static void add_pack(struct vcr_packindex *p, int dir, const char *name)
{
	VCR_AUTO_BUF pack = VCR_BUF_INIT;
	struct stat st;
	struct pack k = { 0 };
	vcr_buf_printf(&pack, "%.*s.pack", (int)strlen(name) - 4, name);
	int fd = faccessat(dir, pack.data, R_OK, 0) ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0) {
		k.size = (size_t)st.st_size;
		void *map = mmap(NULL, k.size, PROT_READ, MAP_SHARED, fd, 0);
		k.map = map == MAP_FAILED ? NULL : map;
	}
	close(fd);
	if (k.map && p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 16;
		struct pack *more = reallocarray(p->pack, cap, sizeof *more);
		if (more) {
			p->pack = more;
			p->cap = cap;
		}
	}
	if (k.map && p->n < p->cap && is_sound(&k))
		p->pack[p->n++] = k;
	else if (k.map)
		munmap((void *)k.map, k.size);
}

struct vcr_packindex *vcr_packindex_open(const char *path)
{
	struct vcr_packindex *p = calloc(1, sizeof *p);
	DIR *d = p ? opendir(path) : NULL;
	struct dirent *ent;
	while (d && p->n < MAX_PACKS && (ent = readdir(d))) {
		size_t n = strlen(ent->d_name);
		if (n > 4 && !strcmp(ent->d_name + n - 4, ".idx"))
			add_pack(p, dirfd(d), ent->d_name);
	}
	if (d)
		closedir(d);
	return p;
}

void vcr_packindex_free(struct vcr_packindex *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++)
		munmap((void *)p->pack[i].map, p->pack[i].size);
	free(p->pack);
	free(p);
}

/* Names are spread evenly: a guess is near, from there in steps that double, then by halves. */
static bool has(const struct pack *k, const unsigned char *oid)
{
	const unsigned char *names = k->map + HEAD + FANOUT;
	size_t low = *oid ? fanout(k, *oid - 1u) : 0, high = fanout(k, *oid);
	size_t at = low + (size_t)((uint64_t)be32(oid + 1) * (high - low) >> 32);
	for (size_t step = 1; low < high; step *= 2) {
		int c = memcmp(oid, names + at * OID, OID);
		if (!c)
			return true;
		if (c < 0)
			high = at;
		else
			low = at + 1;
		size_t far = c < 0 ? at - low : high - low;
		at = step > far / 2 ? low + (high - low) / 2 : c < 0 ? at - step : low + step - 1;
	}
	return false;
}

bool vcr_packindex_has(const struct vcr_packindex *p, const unsigned char *oid, size_t *hint)
{
	if (!p || !p->n)
		return false;
	if (*hint < p->n && has(&p->pack[*hint], oid))
		return true;
	for (size_t i = 0; i < p->n; i++)
		if (i != *hint && has(&p->pack[i], oid)) {
			*hint = i;
			return true;
		}
	return false;
}
