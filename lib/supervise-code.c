/* supervise-code.c — which code of a process is the library's, and which is the C library's that its hooks stand before: what calls from there, it tells.
 *
 * The kernel is asked for one mapping after the other that can run and is of a file (PROCMAP_QUERY, Linux 6.11). Elsewhere the table of all mappings is read,
 * which takes three times as long.
 *
 * A mapping's name takes four times as long as all else that is said of it, so it is asked for once. The number of a file may be another file's later, but not
 * while it is mapped: the C library is by ourselves, and the library from when it is first met on. Of what is neither, the number alone is remembered: if
 * it becomes one of theirs, what is done there is told twice, never not at all. A number may be of several trees (btrfs): place and length in the file stand beside it. */
#include "supervise-parts.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAPS = 1 << 20, PART = 16 << 10, MAPPINGS = 8192 };

/* struct procmap_query of linux/fs.h, which the headers of older machines do not have. */
struct mapping {
	uint64_t size, wanted, at, from, to, flags, page_size, offset, inode;
	uint32_t major, minor, name_room, build_id_room;
	uint64_t name, build_id;
};
#define QUERY _IOWR('f', 17, struct mapping)
enum { CODE_FROM = 4 /* executable */ | 16 /* this or the next */ | 32 /* of a file */ };
_Static_assert(sizeof(struct mapping) == 104, "as the kernel has it");

static enum vcr_code_kind kind_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	if (!strncmp(name, "libvcrshim.so", 13))
		return VCR_CODE_OURS;
	bool libc = !strncmp(name, "libc.so", 7) || !strncmp(name, "libc-2", 6) || !strncmp(name, "libpthread", 10) || !strncmp(name, "ld-linux", 8);
	return libc ? VCR_CODE_LIBC : VCR_CODE_OTHER;
}

static void add(struct vcr_seen *p, enum vcr_code_kind kind, uint64_t from, uint64_t to)
{
	p->hooked |= kind == VCR_CODE_OURS;
	if (kind != VCR_CODE_OTHER && p->ncode < VCR_SEEN_CODE) {
		p->code[p->ncode].from = from;
		p->code[p->ncode++].to = to;
	}
}

/* name: room for PATH_MAX, or NULL. */
static int query(int maps, struct mapping *m, uint64_t at, uint64_t wanted, char *name)
{
	*m = (struct mapping){ .size = sizeof *m, .wanted = wanted, .at = at, .name = (uint64_t)(uintptr_t)name, .name_room = name ? PATH_MAX : 0 };
	return ioctl(maps, QUERY, m) ? -errno : 0;
}

/* ---- Files whose kind is known ---- */

static struct vcr_code_file file_of(const struct mapping *m, enum vcr_code_kind kind)
{
	return (struct vcr_code_file){ .kind = kind, .major = m->major, .minor = m->minor, .inode = m->inode, .offset = m->offset, .length = m->to - m->from };
}

static bool is_file(const struct vcr_code_file *f, const struct mapping *m)
{
	return f->inode == m->inode && f->offset == m->offset && f->length == m->to - m->from && f->major == m->major && f->minor == m->minor;
}

static const struct vcr_code_file *find(const struct vcr_supervise *s, const struct mapping *m)
{
	for (int i = 0; i < s->nheld; i++)
		if (is_file(&s->held[i], m))
			return &s->held[i];
	for (int i = 0; i < VCR_CODE_OTHERS; i++)
		if (is_file(&s->others[i], m))
			return &s->others[i];
	return NULL;
}

/* The file of that name is mapped here, if it is the one that the mapping is of. */
static void *hold(const char *name, const struct mapping *m)
{
	struct mapping own;
	int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), fd = maps < 0 ? -1 : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	void *page = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0);
	bool same = page != MAP_FAILED && !query(maps, &own, (uint64_t)(uintptr_t)page, 0, NULL) && own.inode == m->inode && own.major == m->major && own.minor == m->minor;
	if (page != MAP_FAILED && !same)
		munmap(page, 1);
	if (fd >= 0)
		close(fd);
	if (maps >= 0)
		close(maps);
	return same ? page : NULL;
}

static void remember(struct vcr_supervise *s, const struct mapping *m, enum vcr_code_kind kind, const char *name)
{
	struct vcr_code_file f = file_of(m, kind);
	if (kind == VCR_CODE_OTHER)
		s->others[s->next_other++ % VCR_CODE_OTHERS] = f;
	else if (kind == VCR_CODE_OURS && s->nheld < VCR_CODE_HELD && s->tried++ < VCR_CODE_HELD && (f.page = hold(name, m)))
		s->held[s->nheld++] = f;
}

void vcr_code_hold(struct vcr_supervise *s)
{
	char name[PATH_MAX];
	struct mapping m = { 0 };
	int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	for (int i = 0; maps >= 0 && i < MAPPINGS && !query(maps, &m, m.to, CODE_FROM, name); i++)
		if (kind_of(name) == VCR_CODE_LIBC && s->nheld < VCR_CODE_HELD)
			s->held[s->nheld++] = file_of(&m, VCR_CODE_LIBC);
	if (maps >= 0)
		close(maps);
}

void vcr_code_release(struct vcr_supervise *s)
{
	for (; s->nheld; s->nheld--)
		if (s->held[s->nheld - 1].page)
			munmap(s->held[s->nheld - 1].page, 1);
}

/* ---- A process's code ---- */

/* False: this kernel cannot say it so. */
static bool ask_for_each(struct vcr_supervise *s, struct vcr_seen *p, int maps)
{
	char name[PATH_MAX];
	struct mapping m = { 0 };
	int err = 0;
	for (int i = 0; i < MAPPINGS && !(err = query(maps, &m, m.to, CODE_FROM, NULL)); i++) {
		const struct vcr_code_file *f = find(s, &m);
		enum vcr_code_kind kind = f ? f->kind : VCR_CODE_OTHER;
		if (!f) {
			if ((err = query(maps, &m, m.from, CODE_FROM, name)))
				break;
			kind = kind_of(name);
			remember(s, &m, kind, name);
		}
		add(p, kind, m.from, m.to);
	}
	return !err || err == -ENOENT || err == -ESRCH;
}

/* "7f0000000000-7f0000001000 r-xp 00000000 fe:00 131     /usr/lib/libc.so.6" */
static void take_line(struct vcr_seen *p, const char *line)
{
	const char *path = strchr(line, '/'), *mode = strchr(line, ' ');
	char *end;
	if (!path || !mode || mode > path || mode[3] != 'x')
		return;
	uint64_t from = strtoull(line, &end, 16), to = *end == '-' ? strtoull(end + 1, NULL, 16) : 0;
	if (to > from)
		add(p, kind_of(path), from, to);
}

/* A line that is longer than the buffer is none that counts. */
static void read_all(struct vcr_seen *p, int maps)
{
	char text[PART + 1];
	size_t have = 0, all = 0;
	for (ssize_t n; all < MAPS && (n = read(maps, text + have, PART - have)) > 0; all += (size_t)n) {
		char *line = text, *end;
		text[have += (size_t)n] = 0;
		for (; (end = strchr(line, '\n')); line = end + 1) {
			*end = 0;
			take_line(p, line);
		}
		have -= (size_t)(line - text);
		memmove(text, line, have);
		have = have == PART ? 0 : have;
	}
}

static void forget_code(struct vcr_seen *p)
{
	p->hooked = false;
	p->ncode = 0;
}

void vcr_seen_learn_code(struct vcr_supervise *s, struct vcr_seen *p, bool by_table)
{
	int maps = openat(p->proc, "maps", O_RDONLY | O_CLOEXEC);
	forget_code(p);
	if (maps < 0)
		return;
	if (by_table || !ask_for_each(s, p, maps)) {
		forget_code(p);
		read_all(p, maps);
	}
	close(maps);
}

bool vcr_seen_by_library(const struct vcr_seen *p, uint64_t at)
{
	for (int i = 0; p->hooked && i < p->ncode; i++)
		if (at >= p->code[i].from && at <= p->code[i].to)
			return true;
	return false;
}
