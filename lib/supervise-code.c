/* supervise-code.c — which code of a process is the library's, and which is the C library's that its hooks stand before: what calls from there, it tells.
 *
 * The kernel is asked for one mapping after the other that can run and is of a file (PROCMAP_QUERY, Linux 6.11). Elsewhere the table of all mappings is read,
 * which takes three times as long. */
#include "supervise-parts.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MAPS = 1 << 20, PART = 16 << 10, MAPPINGS = 8192 };

/* struct procmap_query of linux/fs.h, which the headers of older machines do not have. */
struct mapping {
	uint64_t size, wanted, at, from, to, flags, page_size, offset, inode;
	uint32_t major, minor, name_room, build_id_room;
	uint64_t name, build_id;
};
#define NEXT_MAPPING _IOWR('f', 17, struct mapping)
enum { EXECUTABLE = 4, THIS_OR_NEXT = 16, OF_A_FILE = 32 };
_Static_assert(sizeof(struct mapping) == 104, "as the kernel has it");

static bool is_hooked_file(const char *path, bool *ours)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	*ours = !strncmp(name, "libvcrshim.so", 13);
	return *ours || !strncmp(name, "libc.so", 7) || !strncmp(name, "libc-2", 6) || !strncmp(name, "libpthread", 10) || !strncmp(name, "ld-linux", 8);
}

static void add(struct vcr_seen *p, const char *path, uint64_t from, uint64_t to)
{
	bool ours;
	if (!is_hooked_file(path, &ours))
		return;
	p->hooked |= ours;
	if (p->ncode < VCR_SEEN_CODE) {
		p->code[p->ncode].from = from;
		p->code[p->ncode++].to = to;
	}
}

/* False: this kernel cannot say it so. */
static bool ask_for_each(struct vcr_seen *p, int maps)
{
	char name[PATH_MAX];
	struct mapping m = { .size = sizeof m, .wanted = EXECUTABLE | THIS_OR_NEXT | OF_A_FILE, .name = (uint64_t)(uintptr_t)name };
	for (int i = 0; i < MAPPINGS; i++, m.at = m.to) {
		m.name_room = sizeof name;
		if (ioctl(maps, NEXT_MAPPING, &m))
			return errno == ENOENT || errno == ESRCH;
		add(p, name, m.from, m.to);
	}
	return true;
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
		add(p, path, from, to);
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

void vcr_seen_learn_code(struct vcr_seen *p, bool by_table)
{
	int maps = openat(p->proc, "maps", O_RDONLY | O_CLOEXEC);
	p->hooked = false;
	p->ncode = 0;
	if (maps < 0)
		return;
	if (by_table || !ask_for_each(p, maps)) {
		p->hooked = false;
		p->ncode = 0;
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
