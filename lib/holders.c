#include "holders.h"
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MAX_PROCESSES = 4096, MAX_FDS = 200000, MAX_MAPS = 32 << 20, BLOCK = 64 << 10 };

struct key { dev_t dev; ino_t ino; size_t file; };
struct search {
	struct key *key;        /* by inode */
	size_t n;
	struct vcr_holder *out;
	size_t nout, max, first; /* first: of the process that is looked at */
	bool complete;
	int fds;
	size_t maps;
	int pid, proc;          /* proc: /proc/PID */
};

const char *vcr_holder_word(enum vcr_holder_how how)
{
	static const char *const words[] = { "reads", "writes", "maps", "stands in" };
	return words[how];
}

static int by_inode(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	return x->ino != y->ino ? (x->ino < y->ino ? -1 : 1) : x->dev != y->dev ? (x->dev < y->dev ? -1 : 1) : 0;
}

static const struct key *find(const struct search *s, dev_t dev, ino_t ino)
{
	const struct key key = { dev, ino, 0 };
	return bsearch(&key, s->key, s->n, sizeof key, by_inode);
}

static void name_it(const struct search *s, struct vcr_holder *h)
{
	int fd = openat(s->proc, "comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, h->program, sizeof h->program - 1);
	if (fd >= 0)
		close(fd);
	h->program[n > 0 ? n - (h->program[n - 1] == '\n') : 0] = 0;
}

static void add(struct search *s, size_t file, enum vcr_holder_how how)
{
	for (size_t i = s->first; i < s->nout; i++)
		if (s->out[i].file == file) {
			if (how > s->out[i].how)
				s->out[i].how = how;
			return;
		}
	if (s->nout == s->max) {
		s->complete = false;
		return;
	}
	struct vcr_holder *h = &s->out[s->nout++];
	*h = (struct vcr_holder){ .pid = s->pid, .file = file, .how = how };
	name_it(s, h);
}

/* The link's own mode says how the descriptor was opened. */
static void look_at_fds(struct search *s)
{
	int fd = openat(s->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;
	if (!d && fd >= 0)
		close(fd);
	while (d && (ent = readdir(d))) {
		struct stat st, link;
		const struct key *key;
		if (*ent->d_name == '.')
			continue;
		if (++s->fds > MAX_FDS) {
			s->complete = false;
			break;
		}
		if (!fstatat(dirfd(d), ent->d_name, &st, 0) && (key = find(s, st.st_dev, st.st_ino)))
			add(s, key->file, !fstatat(dirfd(d), ent->d_name, &link, AT_SYMLINK_NOFOLLOW) && link.st_mode & S_IWUSR ? VCR_HOLDER_WRITES : VCR_HOLDER_READS);
	}
	if (d)
		closedir(d);
}

/* "55d0-55d8 r--p 00000000 fe:01 1234   /path" */
static void look_at_line(struct search *s, const char *line)
{
	unsigned major, minor;
	uint64_t ino;
	const struct key *key;
	if (sscanf(line, "%*s %*s %*s %x:%x %" SCNu64, &major, &minor, &ino) != 3 || !ino)
		return;
	if ((key = find(s, makedev(major, minor), (ino_t)ino)))
		add(s, key->file, VCR_HOLDER_MAPS);
}

static void look_at_maps(struct search *s)
{
	char block[BLOCK + 1];
	size_t have = 0;
	ssize_t n;
	int fd = openat(s->proc, "maps", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && (n = read(fd, block + have, BLOCK - have)) > 0) {
		char *line = block, *end;
		have += (size_t)n;
		block[have] = 0;
		s->maps += (size_t)n;
		for (; (end = strchr(line, '\n')); line = end + 1) {
			*end = 0;
			look_at_line(s, line);
		}
		have -= (size_t)(line - block);
		memmove(block, line, have);
		if (have == BLOCK) /* no line of the kernel's is that long */
			have = 0;
		if (s->maps > MAX_MAPS) {
			s->complete = false;
			break;
		}
	}
	if (fd >= 0)
		close(fd);
}

static void look_at_process(struct search *s, int pid)
{
	char path[32];
	struct stat st;
	const struct key *key;
	snprintf(path, sizeof path, "/proc/%d", pid);
	s->pid = pid;
	s->first = s->nout;
	s->proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->proc < 0)
		return;
	if (s->fds <= MAX_FDS)
		look_at_fds(s);
	if (s->maps <= MAX_MAPS)
		look_at_maps(s);
	if (!fstatat(s->proc, "cwd", &st, 0) && (key = find(s, st.st_dev, st.st_ino)))
		add(s, key->file, VCR_HOLDER_STANDS);
	close(s->proc);
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

static size_t processes(int *pid, bool *complete)
{
	size_t n = 0;
	DIR *d = opendir("/proc");
	struct dirent *ent;
	while (d && (ent = readdir(d))) {
		int number = *ent->d_name >= '1' && *ent->d_name <= '9' ? atoi(ent->d_name) : 0;
		if (number <= 0 || number == (int)getpid())
			continue;
		if (n == MAX_PROCESSES) {
			*complete = false;
			break;
		}
		pid[n++] = number;
	}
	if (d)
		closedir(d);
	qsort(pid, n, sizeof *pid, by_number);
	return n;
}

size_t vcr_holders_find(const struct stat *file, size_t n, struct vcr_holder *out, size_t max, bool *complete)
{
	int *pid = malloc(MAX_PROCESSES * sizeof *pid);
	struct search s = { .key = calloc(n + 1, sizeof *s.key), .n = n, .out = out, .max = max, .complete = pid != NULL };
	for (size_t i = 0; s.key && i < n; i++)
		s.key[i] = (struct key){ file[i].st_dev, file[i].st_ino, i };
	if (s.key && pid && n) {
		qsort(s.key, n, sizeof *s.key, by_inode);
		size_t np = processes(pid, &s.complete);
		for (size_t i = 0; i < np; i++)
			look_at_process(&s, pid[i]);
	}
	*complete = s.complete && s.key;
	free(s.key);
	free(pid);
	return s.nout;
}
