#include "starts.h"
#include "peek.h"
#include "shim.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { GENERATIONS = 8, LEVELS = 8, ARGUMENTS = 64, ENTRIES = 4096, ENTRY = 8192, MAPS_LINE = 4400 };

/* ---- Processes ---- */

/* Of /proc; number: one for each pid namespace, ours first. */
struct process {
	int pid, parent, levels, number[LEVELS];
	struct stat exe;
	char name[32];
};

static ssize_t read_proc(int pid, const char *name, char *to, size_t room)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, to, room - 1) : -1;
	if (fd >= 0)
		close(fd);
	to[n > 0 ? n : 0] = 0;
	return n;
}

static int number_behind(const char *text, const char *word)
{
	const char *at = strstr(text, word);
	return at ? atoi(at + strlen(word)) : 0;
}

static bool look_at_status(int pid, struct process *p)
{
	char text[4096], *at;
	*p = (struct process){ 0 };
	if (pid <= 0 || read_proc(pid, "status", text, sizeof text) <= 0)
		return false;
	sscanf(text, "Name: %31[^\n]", p->name);
	p->pid = number_behind(text, "\nTgid:");
	p->parent = number_behind(text, "\nPPid:");
	for (at = strstr(text, "\nNSpid:"), at = at ? at + strlen("\nNSpid:") : NULL; at && p->levels < LEVELS; p->levels++) {
		char *end;
		p->number[p->levels] = (int)strtol(at, &end, 10);
		if (end == at)
			break;
		at = end;
	}
	return p->pid > 0 && p->levels > 0;
}

static bool look(int pid, struct process *p)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/exe", pid);
	return look_at_status(pid, p) && !stat(path, &p->exe);
}

static bool is_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool has_spoken(const struct vcr_starts *s, int number)
{
	for (int i = 0; number && i < VCR_SPOKEN; i++)
		if (__atomic_load_n(&s->h->spoke[i], __ATOMIC_ACQUIRE) == number)
			return true;
	return false;
}

/* As the command's processes know each other. */
static int number_of(const struct vcr_starts *s, const struct process *p)
{
	return p->number[s->h->pid_ns && p->levels > 1 ? 1 : 0];
}

/* By which number a program was lent the gate (shim/lend.c). */
static int lender_of(int pid)
{
	static const size_t most = 256 << 10;
	char *text = malloc(most), *none = NULL;
	ssize_t n = text ? read_proc(pid, "environ", text, most) : -1;
	int lender = 0;
	for (char *p = text; !lender && n > 0 && p < text + n; p += strlen(p) + 1)
		if (!strncmp(p, VCR_ENV_LENT "=", sizeof VCR_ENV_LENT))
			lender = vcr_lend_whom((char *const[]){ p, none });
	free(text);
	return lender;
}

/* Is it about to become a tool? It has been forked, perhaps by one that was, of a program that has spoken to a model: *speaker, all zero if its number was not known when it
 * was lent the gate. */
static bool is_tool(const struct vcr_starts *s, const struct process *p, struct process *speaker)
{
	struct process parent, child = *p;
	*speaker = (struct process){ 0 };
	for (int i = 0; i < GENERATIONS && look(child.parent, &parent); i++, child = parent) {
		bool same = is_file(&parent.exe, &p->exe);
		if (has_spoken(s, number_of(s, &parent))) {
			*speaker = parent;
			return true;
		}
		if (same && !i && has_spoken(s, VCR_SPOKE_UNNAMED) && lender_of(p->pid) == VCR_SPOKE_UNNAMED)
			return true;
		if (!same)
			return false;
	}
	return false;
}

/* Those who forked it have ended: by what it was lent, which a fork has too, it is known all the same. */
static bool is_orphan_tool(const struct vcr_starts *s, const struct process *p)
{
	int lender = lender_of(p->pid);
	return lender > 0 && lender != number_of(s, p) && has_spoken(s, lender);
}

/* Is this call made by the C library of a program that the library is in? Then it has seen it. */
static bool is_by_library(int pid, uint64_t at)
{
	char path[64], line[MAPS_LINE];
	bool hooked = false, inside = false;
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		unsigned long from, to;
		const char *slash = strrchr(line, '/'), *name = slash ? slash + 1 : "";
		bool ours = !strncmp(name, "libvcrshim.so", 13);
		hooked |= ours;
		if ((ours || !strncmp(name, "libc.so", 7) || !strncmp(name, "libc-2", 6)) && sscanf(line, "%lx-%lx", &from, &to) == 2)
			inside |= at >= from && at <= to;
	}
	if (f)
		fclose(f);
	return hooked && inside;
}

/* ---- The program that it would be ---- */

struct call { uint64_t path, argv, env; int dir; bool empty; };

static struct call call_of(const struct seccomp_data *d)
{
	const uint64_t *a = (const uint64_t *)d->args;
	bool at = d->nr == SYS_execveat;
	return (struct call){ .dir = at ? (int)a[0] : AT_FDCWD, .path = a[at], .argv = a[at + 1], .env = a[at + 2], .empty = at && a[4] & AT_EMPTY_PATH };
}

/* /proc/self and what leads there is another's for us. */
static bool own_link(const char *path, int pid, char out[PATH_MAX + 64])
{
	static const char *const names[] = { "/proc/self/", "/proc/thread-self/", "/dev/fd/" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strncmp(path, names[i], strlen(names[i]))) {
			snprintf(out, PATH_MAX + 64, "/proc/%d/%s%s", pid, i == 2 ? "fd/" : "", path + strlen(names[i]));
			return true;
		}
	return false;
}

static int open_at(int dir, const char *path, uint64_t resolve)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .resolve = resolve };
	return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

/* As the process would find it. -1: it will not. */
static int open_program(int pid, const struct call *c, char path[PATH_MAX])
{
	char link[PATH_MAX + 64];
	if (!vcr_peek_text(pid, c->path, path, PATH_MAX))
		return -1;
	if (own_link(path, pid, link))
		return open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (!*path && !c->empty)
		return -1;
	if (*path == '/')
		snprintf(link, sizeof link, "/proc/%d/root", pid);
	else if (c->dir == AT_FDCWD)
		snprintf(link, sizeof link, "/proc/%d/cwd", pid);
	else
		snprintf(link, sizeof link, "/proc/%d/fd/%d", pid, c->dir);
	if (!*path)
		return open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int dir = open(link, O_PATH | O_CLOEXEC), fd = dir < 0 ? -1 : open_at(dir, path, *path == '/' ? RESOLVE_IN_ROOT : 0);
	if (dir >= 0)
		close(dir);
	return fd;
}

static bool can_run(int fd, struct stat *st)
{
	return fd >= 0 && !fstat(fd, st) && S_ISREG(st->st_mode) && st->st_mode & 0111;
}

static bool ends(const char *text, const char *how)
{
	size_t n = strlen(text), k = strlen(how);
	return n >= k && !strcmp(text + n - k, how);
}

/* Has it, in that environment, all that it needs to ask whether it is a tool, and to be told that it is (vcr_exec_stand_in)? */
static bool will_ask(const struct vcr_starts *s, const struct process *p, const struct process *speaker, uint64_t env)
{
	struct process parent;
	bool library = false, spool = false;
	int lender = 0;
	char entry[ENTRY + 1];
	for (uint64_t i = 0, at; i < ENTRIES && vcr_peek(p->pid, env + 8 * i, &at, sizeof at) && at; i++) {
		memset(entry, 0, sizeof entry);
		bool whole = vcr_peek_text(p->pid, at, entry, ENTRY);
		if (!strncmp(entry, "LD_PRELOAD=", 11))
			library = strstr(entry, s->library) != NULL;
		else if (!strncmp(entry, VCR_ENV_SPOOL "=", sizeof VCR_ENV_SPOOL))
			spool = whole && ends(entry, s->spool);
		else if (!strncmp(entry, VCR_ENV_LENT "=", sizeof VCR_ENV_LENT))
			lender = vcr_lend_whom((char *const[]){ entry, NULL });
	}
	if (!library || !spool || !has_spoken(s, lender))
		return false;
	if (lender == VCR_SPOKE_UNNAMED)
		return true;
	if (!look(p->parent, &parent) || parent.levels < p->levels)
		return false;
	return lender == parent.number[p->levels - 1] || (speaker->levels == p->levels && lender == speaker->number[p->levels - 1] && is_file(&parent.exe, &speaker->exe));
}

static void describe(int pid, const struct call *c, const char *path, struct vcr_buf *words)
{
	char argument[PATH_MAX + 1];
	vcr_buf_puts(words, *path ? path : "a program without a name");
	for (uint64_t i = 1, at; i < ARGUMENTS && vcr_peek(pid, c->argv + 8 * i, &at, sizeof at) && at; i++) {
		memset(argument, 0, sizeof argument);
		vcr_peek_text(pid, at, argument, PATH_MAX);
		vcr_buf_printf(words, " %s", argument);
	}
}

/* Whoever cannot be looked into is asked about where his parent has spoken. */
static enum vcr_starts_verdict judge_unseen(const struct vcr_starts *s, const struct process *p, struct vcr_buf *words)
{
	struct process parent;
	if (!look_at_status(p->parent, &parent) || !has_spoken(s, number_of(s, &parent)))
		return VCR_STARTS_GOES_ON;
	vcr_buf_puts(words, p->name);
	return VCR_STARTS_UNSEEN;
}

enum vcr_starts_verdict vcr_starts_judge(const struct vcr_starts *s, const struct seccomp_notif *call, struct vcr_buf *words, const char **why)
{
	static const char *const kinds[] = { [VCR_TARGET_TAKES] = "its environment is its own", [VCR_TARGET_GO] = "its environment is its own", [VCR_TARGET_STATIC] = "it is static",
		[VCR_TARGET_MUSL] = "it is of another libc", [VCR_TARGET_HARMED] = "it takes no library" };
	struct process p, speaker;
	struct stat st;
	char path[PATH_MAX] = "";
	int tid = (int)call->pid;
	if (!__atomic_load_n(&s->h->spoke[0], __ATOMIC_ACQUIRE))
		return VCR_STARTS_GOES_ON;
	if (!look(tid, &p))
		return p.pid ? judge_unseen(s, &p, words) : VCR_STARTS_GOES_ON;
	if (is_file(&p.exe, &s->standin))
		return VCR_STARTS_GOES_ON;
	bool orphan = !is_tool(s, &p, &speaker);
	if ((orphan && !is_orphan_tool(s, &p)) || is_by_library(tid, call->data.instruction_pointer))
		return VCR_STARTS_GOES_ON;
	struct call c = call_of(&call->data);
	int fd = open_program(tid, &c, path);
	bool none = !can_run(fd, &st);
	enum vcr_target target = none ? VCR_TARGET_TAKES : vcr_elf_target("", fd);
	bool itself = !none && is_file(&st, &p.exe) && (target == VCR_TARGET_STATIC || target == VCR_TARGET_GO);
	if (fd >= 0)
		close(fd);
	if (none || itself || (vcr_target_takes(target) && will_ask(s, &p, &speaker, c.env)))
		return VCR_STARTS_GOES_ON;
	describe(tid, &c, path, words);
	*why = orphan && vcr_target_takes(target) ? "who began it has ended" : kinds[target];
	return VCR_STARTS_REFUSED;
}
