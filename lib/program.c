#include "program.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_HEADERS = 64, MOST_DYNAMIC = 512, MOST_CHAIN = 4096, NOTES = 512, GO_BUILD_ID = 4, HEAD = 512 };
#if defined __x86_64__
enum { MACHINE = EM_X86_64 };
#elif defined __aarch64__
enum { MACHINE = EM_AARCH64 };
#else
enum { MACHINE = EM_NONE };
#endif

const char *vcr_program_kind_word(enum vcr_program_kind k)
{
	static const char *const words[] = {
#define X(name, word, line) word,
		VCR_PROGRAM_KINDS(X)
#undef X
	};
	return words[k];
}

const char *vcr_program_kind_line(enum vcr_program_kind k)
{
	static const char *const lines[] = {
#define X(name, word, line) line,
		VCR_PROGRAM_KINDS(X)
#undef X
	};
	return lines[k];
}

/* ---- ELF ---- */

struct image {
	int fd;
	Elf64_Ehdr head;
	Elf64_Phdr header[MOST_HEADERS];
	size_t headers;
	Elf64_Dyn dynamic[MOST_DYNAMIC];
	size_t entries;
};

static bool read_at(int fd, void *to, size_t n, uint64_t at)
{
	return at <= INT64_MAX && pread(fd, to, n, (off_t)at) == (ssize_t)n;
}

/* As much as there is; a NUL behind it. */
static size_t read_text(int fd, char *to, size_t cap, uint64_t at)
{
	ssize_t n = at <= INT64_MAX ? pread(fd, to, cap - 1, (off_t)at) : -1;
	to[n > 0 ? n : 0] = 0;
	return n > 0 ? (size_t)n : 0;
}

static const Elf64_Phdr *find(const struct image *m, uint32_t type)
{
	for (size_t i = 0; i < m->headers; i++)
		if (m->header[i].p_type == type)
			return &m->header[i];
	return NULL;
}

/* Where in the file a virtual address is; 0 if nowhere. */
static uint64_t offset_of(const struct image *m, uint64_t address)
{
	for (size_t i = 0; i < m->headers; i++) {
		const Elf64_Phdr *p = &m->header[i];
		if (p->p_type == PT_LOAD && address >= p->p_vaddr && address - p->p_vaddr < p->p_filesz)
			return p->p_offset + (address - p->p_vaddr);
	}
	return 0;
}

static uint64_t entry(const struct image *m, int64_t tag)
{
	for (size_t i = 0; i < m->entries && m->dynamic[i].d_tag != DT_NULL; i++)
		if (m->dynamic[i].d_tag == tag)
			return m->dynamic[i].d_un.d_val;
	return 0;
}

static bool read_image(struct image *m, int fd)
{
	m->fd = fd;
	m->headers = m->entries = 0;
	if (!read_at(fd, &m->head, sizeof m->head, 0) || memcmp(m->head.e_ident, ELFMAG, SELFMAG) || m->head.e_ident[EI_CLASS] != ELFCLASS64)
		return false;
	if (m->head.e_phentsize != sizeof *m->header || m->head.e_phnum > MOST_HEADERS)
		return false;
	if (!read_at(fd, m->header, m->head.e_phnum * sizeof *m->header, m->head.e_phoff))
		return false;
	m->headers = m->head.e_phnum;
	const Elf64_Phdr *d = find(m, PT_DYNAMIC);
	uint64_t size = d ? d->p_filesz < sizeof m->dynamic ? d->p_filesz : sizeof m->dynamic : 0;
	if (d && read_at(fd, m->dynamic, size, d->p_offset))
		m->entries = size / sizeof *m->dynamic;
	return true;
}

/* The exported symbol of that name: a filter first, then a bucket's chain (the GNU hash section). */
static bool exported(const struct image *m, const char *name, Elf64_Sym *out)
{
	uint64_t hash = offset_of(m, entry(m, DT_GNU_HASH)), symbols = offset_of(m, entry(m, DT_SYMTAB)), strings = offset_of(m, entry(m, DT_STRTAB));
	uint32_t h = 5381, table[4], at, link; /* buckets, first symbol, words of the filter, shift */
	uint64_t word;
	char found[64];
	if (!hash || !symbols || !strings || !read_at(m->fd, table, sizeof table, hash) || !table[0] || !table[2])
		return false;
	for (const char *p = name; *p; p++)
		h = h * 33 + (unsigned char)*p;
	uint64_t buckets = hash + sizeof table + 8ull * table[2], chain = buckets + 4ull * table[0];
	if (!read_at(m->fd, &word, sizeof word, hash + sizeof table + 8ull * (h / 64 % table[2])) || !(word >> h % 64 & word >> (h >> (table[3] & 31)) % 64 & 1) ||
	    !read_at(m->fd, &at, sizeof at, buckets + 4ull * (h % table[0])))
		return false;
	for (int i = 0; at >= table[1] && i < MOST_CHAIN; i++, at++) {
		if (!read_at(m->fd, &link, sizeof link, chain + 4ull * (at - table[1])))
			return false;
		if ((link | 1) == (h | 1) && read_at(m->fd, out, sizeof *out, symbols + 24ull * at) && out->st_shndx != SHN_UNDEF &&
		    read_text(m->fd, found, sizeof found, strings + out->st_name) && !strcmp(found, name))
			return true;
		if (link & 1)
			break;
	}
	return false;
}

/* Does it need a library whose name begins so? Its name goes to `name`, if that is wanted. */
static bool needs(const struct image *m, const char *begin, char *name, size_t cap)
{
	uint64_t strings = offset_of(m, entry(m, DT_STRTAB));
	char text[64];
	for (size_t i = 0; strings && i < m->entries && m->dynamic[i].d_tag != DT_NULL; i++)
		if (m->dynamic[i].d_tag == DT_NEEDED && read_text(m->fd, text, sizeof text, strings + m->dynamic[i].d_un.d_val) && !strncmp(text, begin, strlen(begin))) {
			if (name)
				snprintf(name, cap, "%s", text);
			return true;
		}
	return false;
}

/* Go's linker leaves a note "Go" with the build's id (cmd/internal/buildid). */
static bool has_go_note(const struct image *m)
{
	union { Elf64_Nhdr note; char byte[NOTES]; } text;
	for (size_t i = 0; i < m->headers; i++) {
		const Elf64_Phdr *p = &m->header[i];
		ssize_t n = p->p_type != PT_NOTE || p->p_offset > INT64_MAX ? 0 : pread(m->fd, text.byte, p->p_filesz < NOTES ? p->p_filesz : NOTES, (off_t)p->p_offset);
		for (ssize_t at = 0; at + (ssize_t)sizeof text.note + 4 <= n;) {
			Elf64_Nhdr h;
			memcpy(&h, text.byte + at, sizeof h);
			if (h.n_namesz == 4 && h.n_type == GO_BUILD_ID && !memcmp(text.byte + at + sizeof h, "Go\0", 4))
				return true;
			at += (ssize_t)sizeof h + (((ssize_t)h.n_namesz + 3) & ~(ssize_t)3) + (((ssize_t)h.n_descsz + 3) & ~(ssize_t)3);
		}
	}
	return false;
}

static enum vcr_program_tls tls_of(const struct image *m, struct vcr_program *out)
{
	static const char *const others[] = { "libgnutls", "libnss3", "libmbedtls", "libwolfssl", "libs2n" };
	Elf64_Sym s;
	if (out->kind == VCR_PROGRAM_GO || out->kind == VCR_PROGRAM_STATIC)
		return VCR_TLS_OWN;
	if (needs(m, "libssl.so", out->library, sizeof out->library))
		return VCR_TLS_SHARED;
	if (exported(m, "SSL_read", &s) && exported(m, "SSL_write", &s))
		return VCR_TLS_EXPORTED;
	if (out->napi || exported(m, "PyInit__ssl", &s))
		return VCR_TLS_OWN;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (needs(m, others[i], out->library, sizeof out->library))
			return VCR_TLS_OTHER;
	return VCR_TLS_LOADED;
}

static void judge(int fd, const Elf64_Ehdr *head, struct vcr_program *out)
{
	struct image m;
	Elf64_Sym s;
	out->bits = head->e_ident[EI_CLASS] == ELFCLASS64 ? 64 : 32;
	out->machine = head->e_machine;
	out->kind = VCR_PROGRAM_FOREIGN;
	if (out->bits != 64 || out->machine != MACHINE)
		return;
	out->kind = VCR_PROGRAM_TAKES;
	if (!read_image(&m, fd))
		return;
	const Elf64_Phdr *loader = find(&m, PT_INTERP);
	if (loader)
		read_text(fd, out->loader, loader->p_filesz < sizeof out->loader ? loader->p_filesz + 1 : sizeof out->loader, loader->p_offset);
	out->napi = exported(&m, "napi_module_register", &s);
	if (!loader)
		out->kind = head->e_type == ET_DYN && entry(&m, DT_SONAME) ? VCR_PROGRAM_TAKES : VCR_PROGRAM_STATIC; /* ld.so called as a program has a name */
	else if (strstr(out->loader, "ld-musl"))
		out->kind = VCR_PROGRAM_MUSL;
	else if (needs(&m, "libasan.so", NULL, 0) || needs(&m, "libclang_rt.asan", NULL, 0))
		out->kind = VCR_PROGRAM_ASAN;
	else if (has_go_note(&m))
		out->kind = VCR_PROGRAM_GO;
	out->tls = tls_of(&m, out);
}

/* ---- Files ---- */

static bool changes_identity(const struct stat *st)
{
	return (st->st_mode & S_ISUID && st->st_uid != geteuid()) || ((st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st->st_gid != getegid());
}

/* The "#!" line's words without the mark, cut to cap. False: it is none. */
static bool script_line(const char *head, char *words, size_t cap)
{
	if (strncmp(head, "#!", 2))
		return false;
	const char *from = head + 2 + strspn(head + 2, " \t");
	size_t n = strcspn(from, "\n");
	while (n && strchr(" \t\r", from[n - 1]))
		n--;
	snprintf(words, cap, "%.*s", (int)n, from);
	return *words != 0;
}

void vcr_program_look(const char *path, struct vcr_program *out)
{
	union { Elf64_Ehdr elf; char text[HEAD]; } head;
	memset(out, 0, sizeof *out);
	snprintf(out->path, sizeof out->path, "%s", path);
	out->kind = VCR_PROGRAM_UNKNOWN;
	for (int depth = 0; depth <= VCR_PROGRAM_STEPS; depth++) {
		struct stat st;
		int fd = open(out->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		bool file = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode);
		size_t n = file ? read_text(fd, head.text, sizeof head.text, 0) : 0;
		bool elf = n >= sizeof head.elf && !memcmp(head.elf.e_ident, ELFMAG, SELFMAG), setid = file && changes_identity(&st);
		if (elf)
			judge(fd, &head.elf, out);
		if (setid)
			out->kind = VCR_PROGRAM_SETID;
		if (fd >= 0)
			close(fd);
		if (elf || setid || !n || depth == VCR_PROGRAM_STEPS || !script_line(head.text, out->words[depth], sizeof *out->words))
			return;
		out->steps = depth + 1;
		snprintf(out->path, sizeof out->path, "%.*s", (int)strcspn(out->words[depth], " \t"), out->words[depth]);
	}
}

static bool can_run(const char *path)
{
	struct stat st;
	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

/* name in dir, a directory that may itself be seen from `from`. */
static bool join(char path[VCR_PROGRAM_PATH], const char *from, const char *dir, int n, const char *name)
{
	bool absolute = n && *dir == '/';
	int k = snprintf(path, VCR_PROGRAM_PATH, "%s%s%.*s%s%s", absolute || !from ? "" : from, absolute || !from ? "" : "/", n, dir, n ? "/" : "", name);
	return k > 0 && k < VCR_PROGRAM_PATH && can_run(path);
}

bool vcr_program_find(const char *command, const char *dir, char path[VCR_PROGRAM_PATH])
{
	const char *list = getenv("PATH");
	if (strchr(command, '/'))
		return *command == '/' ? join(path, NULL, "", 0, command) : join(path, dir, "", 0, command);
	for (list = list ? list : "/bin:/usr/bin"; *command && list; list = *list ? list + 1 : NULL) {
		size_t n = strcspn(list, ":");
		if (n < VCR_PROGRAM_PATH && join(path, dir, n ? list : ".", n ? (int)n : 1, command))
			return true;
		list += n;
	}
	return false;
}

size_t vcr_program_function(const struct vcr_program *p, const char *name, unsigned char code[VCR_PROGRAM_FUNCTION], uint64_t *at)
{
	struct image m;
	Elf64_Sym s;
	size_t n = 0;
	int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd >= 0 && read_image(&m, fd) && exported(&m, name, &s) && (s.st_info & 15) == STT_FUNC && offset_of(&m, s.st_value)) {
		ssize_t got = pread(fd, code, s.st_size < VCR_PROGRAM_FUNCTION ? s.st_size : VCR_PROGRAM_FUNCTION, (off_t)offset_of(&m, s.st_value));
		n = got > 0 ? (size_t)got : 0;
		*at = s.st_value;
	}
	if (fd >= 0)
		close(fd);
	return n;
}
