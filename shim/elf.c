/* elf.c — how a program that is about to run takes a preload. The kernel's steps are followed (execve(2)): "#!" lines to their
 * interpreter, then the ELF header. Harmed are: another machine or word size and musl's loader (ld.so's ERROR or death), programs linked to
 * ASan's runtime (they abort when they are not first), set-id programs. Static ones ignore it but hand it on, Go's use little of it. elf(5). */
#include "shim.h"

enum { DEPTH = 4, MOST_HEADERS = 32, MOST_DYNAMIC = 128, HEAD = 512, NOTES = 512, GO_BUILD_ID = 4 };

struct image {
	int fd;
	unsigned headers;
	Elf64_Phdr header[MOST_HEADERS];
};

static bool read_headers(struct image *im, const Elf64_Ehdr *e)
{
	im->headers = e->e_phnum;
	size_t n = im->headers * sizeof *im->header;
	return e->e_phentsize == sizeof *im->header && im->headers <= MOST_HEADERS && raw_pread(im->fd, im->header, n, e->e_phoff) == (long)n;
}

static const Elf64_Phdr *find(const struct image *im, uint32_t type)
{
	for (unsigned i = 0; i < im->headers; i++)
		if (im->header[i].p_type == type)
			return &im->header[i];
	return NULL;
}

/* Where in the file a virtual address is; 0 if nowhere. */
static uint64_t offset_of(const struct image *im, uint64_t address)
{
	for (unsigned i = 0; i < im->headers; i++) {
		const Elf64_Phdr *p = &im->header[i];
		if (p->p_type == PT_LOAD && address >= p->p_vaddr && address - p->p_vaddr < p->p_filesz)
			return p->p_offset + (address - p->p_vaddr);
	}
	return 0;
}

static bool is_asan(const struct image *im, uint64_t at)
{
	char name[32] = "";
	return raw_pread(im->fd, name, sizeof name - 1, at) > 0 && (!strncmp(name, "libasan.so", 10) || !strncmp(name, "libclang_rt.asan", 16));
}

static bool needs_asan(const struct image *im, const Elf64_Phdr *p)
{
	Elf64_Dyn d[MOST_DYNAMIC];
	uint64_t size = p->p_filesz < sizeof d ? p->p_filesz : sizeof d, strings = 0;
	long got = raw_pread(im->fd, d, size, p->p_offset);
	size_t n = got > 0 ? (size_t)got / sizeof *d : 0;
	for (size_t i = 0; i < n; i++)
		if (d[i].d_tag == DT_STRTAB)
			strings = offset_of(im, d[i].d_un.d_ptr);
	for (size_t i = 0; strings && i < n && d[i].d_tag != DT_NULL; i++)
		if (d[i].d_tag == DT_NEEDED && is_asan(im, strings + d[i].d_un.d_val))
			return true;
	return false;
}

static bool is_musl(const struct image *im, const Elf64_Phdr *p)
{
	char name[256];
	uint64_t n = p->p_filesz < sizeof name - 1 ? p->p_filesz : sizeof name - 1;
	long got = raw_pread(im->fd, name, n, p->p_offset);
	name[got > 0 ? got : 0] = 0;
	return strstr(name, "ld-musl") != NULL;
}

/* ld.so called as a program: it has no interpreter, but a name of its own. */
static bool is_loader(const struct image *im, const Elf64_Phdr *p)
{
	Elf64_Dyn d[MOST_DYNAMIC];
	uint64_t size = p->p_filesz < sizeof d ? p->p_filesz : sizeof d;
	long got = raw_pread(im->fd, d, size, p->p_offset);
	for (size_t i = 0; got > 0 && i < (size_t)got / sizeof *d; i++)
		if (d[i].d_tag == DT_SONAME)
			return true;
	return false;
}

/* Go's linker leaves a note "Go" with the build's id (cmd/internal/buildid). Entries are padded to 4 bytes; those of gnu's properties, to 8, stand in a
 * segment of their own. */
static bool has_go_note(const struct image *im)
{
	union { Elf64_Nhdr note; char byte[NOTES]; } text;
	for (unsigned i = 0; i < im->headers; i++) {
		const Elf64_Phdr *p = &im->header[i];
		long n = p->p_type != PT_NOTE ? 0 : raw_pread(im->fd, text.byte, p->p_filesz < NOTES ? p->p_filesz : NOTES, p->p_offset);
		for (long at = 0; at + (long)sizeof text.note + 4 <= n;) {
			Elf64_Nhdr h;
			memcpy(&h, text.byte + at, sizeof h);
			if (h.n_namesz == 4 && h.n_type == GO_BUILD_ID && !memcmp(text.byte + at + sizeof h, "Go\0", 4))
				return true;
			at += (long)sizeof h + (((long)h.n_namesz + 3) & ~3l) + (((long)h.n_descsz + 3) & ~3l);
		}
	}
	return false;
}

static enum vcr_target judge(int fd, const Elf64_Ehdr *e)
{
	struct image im = { .fd = fd };
	if (e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_machine != VCR_MACHINE)
		return VCR_TARGET_HARMED;
	if (!read_headers(&im, e))
		return VCR_TARGET_TAKES;
	const Elf64_Phdr *interpreter = find(&im, PT_INTERP), *dynamic = find(&im, PT_DYNAMIC);
	if (!interpreter)
		return e->e_type == ET_DYN && dynamic && is_loader(&im, dynamic) ? VCR_TARGET_TAKES : VCR_TARGET_STATIC;
	if (is_musl(&im, interpreter))
		return VCR_TARGET_MUSL;
	if (dynamic && needs_asan(&im, dynamic))
		return VCR_TARGET_HARMED;
	return has_go_note(&im) ? VCR_TARGET_GO : VCR_TARGET_TAKES;
}

/* Set-id programs drop our variables anyway, and ld.so complains about a library it may not use. */
static bool changes_identity(int fd)
{
	struct stat st;
	if (raw_fstat(fd, &st) || !S_ISREG(st.st_mode))
		return false;
	return (st.st_mode & S_ISUID && st.st_uid != geteuid()) || ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getegid());
}

/* The interpreter of a "#!" line, cut out in place; NULL if it is none. */
static char *script_interpreter(char *head)
{
	if (head[0] != '#' || head[1] != '!')
		return NULL;
	char *name = head + 2 + strspn(head + 2, " \t");
	name[strcspn(name, " \t\n")] = 0;
	return *name ? name : NULL;
}

/* *own: the answer is of that file alone, and not of an interpreter too. */
static enum vcr_target target_of(const char *path, int fd, bool *own)
{
	union { Elf64_Ehdr elf; char text[HEAD]; } head;
	char *next = (char *)path;
	for (int depth = 0; next && depth < DEPTH; depth++) {
		int at = fd >= 0 ? fd : raw_open(next, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
		long n = at >= 0 ? raw_pread(at, head.text, HEAD - 1, 0) : -1;
		head.text[n > 0 ? n : 0] = 0;
		bool elf = n >= (long)sizeof head.elf && !memcmp(head.elf.e_ident, ELFMAG, SELFMAG);
		enum vcr_target t = n > 0 && changes_identity(at) ? VCR_TARGET_HARMED : elf ? judge(at, &head.elf) : VCR_TARGET_TAKES;
		if (at >= 0 && at != fd)
			raw_close(at);
		*own = elf && !depth;
		if (elf || t == VCR_TARGET_HARMED)
			return t;
		fd = -1;
		next = n > 0 ? script_interpreter(head.text) : NULL;
	}
	return VCR_TARGET_TAKES;
}

enum vcr_target vcr_elf_target(const char *path, int fd)
{
	bool own;
	return target_of(path, fd, &own);
}

static uint64_t mix(uint64_t key, uint64_t with)
{
	key = (key ^ with) * 0x9e3779b97f4a7c15u;
	return key ^ key >> 32;
}

/* A clock's tick may hide that a file was written again. */
static bool is_fresh(const struct stat *st)
{
	enum { SECONDS = 2 };
	struct timespec now = { 0 };
	vcr_call3(SYS_clock_gettime, CLOCK_REALTIME_COARSE, (long)&now, 0);
	return st->st_ctim.tv_sec > now.tv_sec - SECONDS;
}

/* A build starts the same few programs again and again. Each slot is one word, for threads, vfork children and other processes: what a file is known by, and its
 * target added to that. */
enum vcr_target vcr_elf_target_known(const char *path, const struct stat *st, bool *named, uint64_t *slot)
{
	const uint64_t targets = VCR_TARGET_HARMED + 1;
	uint64_t key = mix(mix(mix(mix(1, st->st_dev), st->st_ino), (uint64_t)st->st_size), (uint64_t)st->st_ctim.tv_sec * 1000000000u + (uint64_t)st->st_ctim.tv_nsec);
	key -= key % targets;
	uint64_t unknown = 0, *s = slot ? &slot[key / targets % VCR_TARGETS] : &unknown, there = __atomic_load_n(s, __ATOMIC_RELAXED);
	bool changing = st->st_mode & (S_ISUID | S_ISGID);
	*named = true;
	if (!changing && there && there - key < targets)
		return (enum vcr_target)(there - key);
	*named = false;
	enum vcr_target t = target_of(path, -1, named);
	if (*named && !changing && !is_fresh(st))
		__atomic_store_n(s, key + t, __ATOMIC_RELAXED);
	return t;
}

/* Other formats may be known to the kernel (binfmt_misc). Text that a shell would read is none. */
static bool may_be_known(bool text)
{
	char status[8] = "";
	int at = text ? -1 : raw_open("/proc/sys/fs/binfmt_misc/status", O_RDONLY | O_CLOEXEC, 0);
	if (at < 0)
		return false;
	long got = raw_pread(at, status, sizeof status, 0);
	raw_close(at);
	return got > 6 && !memcmp(status, "enabled", 7);
}

int vcr_elf_error(const char *path)
{
	char head[HEAD];
	struct stat st;
	int at = raw_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
	long n = at >= 0 ? raw_pread(at, head, HEAD - 1, 0) : -1;
	if (at >= 0)
		raw_close(at);
	if (n < 0) /* it may be run, and not read */
		return 0;
	head[n] = 0;
	if (n >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG))
		return 0;
	bool text = !memchr(head, 0, (size_t)n);
	const char *interpreter = script_interpreter(head);
	if (!interpreter)
		return may_be_known(text) ? 0 : ENOEXEC;
	return raw_statat(AT_FDCWD, interpreter, &st, 0) ? ENOENT : 0;
}
