#include "savepoint-parts.h"
#include "beneath.h"
#include "limits.h"
#include "paths.h"
#include "redact.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { MAX_FILE = 16 << 20, MAX_BASE = 256 << 20, MAX_COMMIT = 64 << 10, FEW = 100 /* objects that are not worth a pack */ };

/* ---- libgit2 ---- */

int vcr_store_git_error(struct vcr_error *e, int code, const char *what)
{
	const git_error *g = git_error_last();
	int mine = code == GIT_ENOTFOUND ? VCR_ENOTFOUND : code == GIT_EEXISTS ? VCR_EEXIST : VCR_EIO;
	return vcr_error_set(e, mine, "%s: %s", what, g ? g->message : "libgit2 failed");
}

void vcr_store_hex(const unsigned char oid[VCR_OID], char out[41])
{
	for (int i = 0; i < VCR_OID; i++)
		snprintf(out + 2 * i, 3, "%02x", oid[i]);
}

bool vcr_store_unhex(const char *hex, unsigned char oid[VCR_OID])
{
	git_oid id;
	if (strlen(hex) != 40 || strspn(hex, "0123456789abcdef") != 40 || git_oid_fromstr(&id, hex))
		return false;
	memcpy(oid, id.id, VCR_OID);
	return true;
}

bool vcr_store_has(struct vcr_store *s, const unsigned char oid[VCR_OID])
{
	git_oid id;
	git_oid_fromraw(&id, oid);
	return (s->pack && vcr_pack_has(s->pack, oid)) || vcr_borrow_has(s->borrow, oid) || git_odb_exists_ext(s->odb, &id, GIT_ODB_LOOKUP_NO_REFRESH);
}

/* For vcr_store_pack; one that is not noted stays loose. */
static void note_loose(struct vcr_store *s, const unsigned char oid[VCR_OID])
{
	if (s->nwritten == s->cap_written) {
		size_t cap = s->cap_written ? s->cap_written * 2 : 256;
		void *list = reallocarray(s->written, cap, sizeof *s->written);
		if (!list)
			return;
		s->written = list;
		s->cap_written = cap;
	}
	memcpy(s->written[s->nwritten++], oid, VCR_OID);
}

/* libgit2 looks for forged collisions, which takes ten times as long. In a file they could hide another file; a tree is of our own making. */
static bool hash_tree(struct vcr_store *s, const void *p, size_t n, git_oid *id)
{
	char head[32];
	int k = snprintf(head, sizeof head, "tree %zu", n) + 1;
	if (!s->sha1 && !(s->sha1 = EVP_MD_CTX_new()))
		return false;
	return EVP_DigestInit_ex(s->sha1, EVP_sha1(), NULL) == 1 && EVP_DigestUpdate(s->sha1, head, (size_t)k) == 1 && EVP_DigestUpdate(s->sha1, p, n) == 1 &&
		EVP_DigestFinal_ex(s->sha1, id->id, NULL) == 1;
}

int vcr_store_object(struct vcr_store *s, git_object_t type, const void *p, size_t n, unsigned char oid[VCR_OID], struct vcr_error *e)
{
	git_oid id;
	int err = type == GIT_OBJECT_TREE && hash_tree(s, p, n, &id) ? 0 : git_odb_hash(&id, p, n, type);
	if (err)
		return vcr_store_git_error(e, err, "shadow repository");
	if (!vcr_store_has(s, id.id)) {
		if (s->pack)
			err = vcr_pack_add(s->pack, type, p, n, id.id, e);
		else if ((err = s->loose->write(s->loose, &id, p, n, type)))
			err = vcr_store_git_error(e, err, "shadow repository");
		else
			note_loose(s, id.id);
	}
	if (err)
		return err;
	memcpy(oid, id.id, VCR_OID);
	vcr_store_note(s, oid);
	return 0;
}

/* ---- The repository ---- */

int vcr_store_remove_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *ent;
	while (d && (ent = readdir(d))) {
		VCR_AUTO_BUF name = VCR_BUF_INIT;
		if (!strcmp(ent->d_name, ".") || !strcmp(ent->d_name, ".."))
			continue;
		vcr_buf_printf(&name, "%s/%s", path, ent->d_name);
		if (unlink(name.data) && (errno == EISDIR || errno == EPERM))
			vcr_store_remove_dir(name.data);
	}
	if (d)
		closedir(d);
	return rmdir(path);
}

/* Made aside and renamed: two that come first at once, or one that is killed, leave a whole repository or none. */
static int make_repository(struct vcr_store *s, struct vcr_error *e)
{
	VCR_AUTO_BUF temp = VCR_BUF_INIT;
	git_repository_init_options o;
	git_repository *repo = NULL;
	git_config *config = NULL;
	vcr_buf_printf(&temp, "%s.new%d", s->git_dir, (int)getpid());
	git_repository_init_options_init(&o, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
	o.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH;
	o.mode = 0700;
	o.description = "Savepoints of vcr; written by its collector and by vcr-rollback";
	int err = git_repository_init_ext(&repo, temp.data, &o);
	if (!err && !(err = git_repository_config(&config, repo))) {
		git_config_set_int32(config, "gc.auto", 0);
		git_config_set_bool(config, "gc.packRefs", 0);
		git_config_set_string(config, "vcr.workspace", s->workspace);
	}
	git_config_free(config);
	git_repository_free(repo);
	if (err)
		err = vcr_store_git_error(e, err, s->git_dir);
	else if (rename(temp.data, s->git_dir) && errno != EEXIST && errno != ENOTEMPTY)
		err = vcr_error_sys(e, errno, "cannot make %s", s->git_dir);
	if (!access(temp.data, F_OK))
		vcr_store_remove_dir(temp.data);
	return err;
}

/* Also anew, when housekeeping has taken away packs that the old one knows. */
static int open_objects(struct vcr_store *s, struct vcr_error *e)
{
	VCR_AUTO_BUF objects = VCR_BUF_INIT;
	int err;
	vcr_buf_printf(&objects, "%s/objects", s->git_dir);
	git_odb_free(s->odb);
	s->odb = NULL;
	vcr_store_unsettle(s);
	/* The loose backend is kept at hand: git_odb_write would look through the pack directory for every new object. */
	git_odb_backend *packs = NULL;
	if ((err = git_odb_new(&s->odb)) || (err = git_odb_backend_loose(&s->loose, objects.data, Z_BEST_SPEED, 0, 0700, 0400)) ||
	    (err = git_odb_add_backend(s->odb, s->loose, 1)) || (err = git_odb_backend_pack(&packs, objects.data)) || (err = git_odb_add_backend(s->odb, packs, 2)))
		return vcr_store_git_error(e, err, s->git_dir);
	return 0;
}

static int open_repository(struct vcr_store *s, struct vcr_error *e)
{
	VCR_AUTO_BUF objects = VCR_BUF_INIT;
	int err;
	vcr_buf_printf(&objects, "%s/objects", s->git_dir);
	git_libgit2_init();
	s->git_started = true;
	if (access(objects.data, X_OK) && (err = make_repository(s, e)))
		return err;
	vcr_store_lock_look(s);
	return open_objects(s, e);
}

/* No housekeeping from here on; what it did before is seen. */
static int enter(struct vcr_store *s, struct vcr_error *e)
{
	return vcr_store_lock_shared(s) ? open_objects(s, e) : 0;
}

int vcr_store_hold(struct vcr_store *s, struct vcr_error *e)
{
	int err = enter(s, e);
	s->held = true;
	return err;
}

int vcr_store_reopen(struct vcr_store *s, struct vcr_error *e)
{
	return open_objects(s, e);
}

static int refuse_broad(const char *workspace, struct vcr_error *e)
{
	const char *home = getenv("HOME");
	struct passwd *pw = getpwuid(geteuid());
	const char *homes[] = { home, pw ? pw->pw_dir : NULL };
	bool broad = !strcmp(workspace, "/");
	for (int i = 0; i < 2 && !broad; i++) {
		char *real = homes[i] && *homes[i] ? realpath(homes[i], NULL) : NULL;
		broad = real && !strcmp(real, workspace);
		free(real);
	}
	return broad ? vcr_error_set(e, VCR_EINVAL, "no savepoints are kept of %s: it is the home directory or the root; run the agent in a directory of its own", workspace) : 0;
}

static int open_workspace(struct vcr_store *s, const struct vcr_store_options *o, struct vcr_error *e)
{
	size_t n = strlen(o->workspace);
	s->workspace = strdup(o->workspace);
	s->state_dir = strdup(o->state_dir);
	if (o->vcr_dir && !strncmp(o->vcr_dir, o->workspace, n) && o->vcr_dir[n] == '/')
		s->vcr_rel = strdup(o->vcr_dir + n + 1);
	if (!s->workspace || !s->state_dir || asprintf(&s->git_dir, "%s/shadow.git", o->state_dir) < 0) {
		s->git_dir = NULL;
		return vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
	}
	s->root = open(o->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0 || fstat(s->root, &s->root_st))
		return vcr_error_sys(e, errno, "%s", o->workspace);
	if (stat(o->state_dir, &s->state_st))
		return vcr_error_sys(e, errno, "%s", o->state_dir);
	return 0;
}

int vcr_store_open(struct vcr_store **out, const struct vcr_store_options *o, struct vcr_error *e)
{
	int err = refuse_broad(o->workspace, e);
	if (err)
		return err;
	struct vcr_store *s = calloc(1, sizeof *s);
	if (!s)
		return vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
	s->root = s->lock = -1;
	s->is_secret = o->is_secret ? o->is_secret : vcr_redact_is_secret_file;
	s->has_secret = o->has_secret;
	s->leave_out = o->leave_out;
	s->ctx = o->ctx;
	s->max_file = o->max_file > 0 ? o->max_file : MAX_FILE;
	s->max_base = o->max_base > 0 ? o->max_base : MAX_BASE;
	s->budget = INT64_MAX;
	s->last.n = -1;
	vcr_buf_init(&s->scratch, (size_t)s->max_file + (1 << 20));
	vcr_buf_init(&s->sealed, (size_t)s->max_file + (1 << 20));
	vcr_buf_init(&s->packed, VCR_REFS_MAX);
	err = open_workspace(s, o, e);
	if (!err)
		err = open_repository(s, e);
	if (!err && o->session) {
		s->session = strdup(o->session);
		s->refs = vcr_refs_name(o->session);
		if (!s->session || !s->refs)
			err = vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
		else if ((err = vcr_store_get(s, o->session, -1, &s->last, vcr_refs_last(s, s->refs) < 0 ? NULL : e)) == VCR_ENOTFOUND)
			err = 0;
	}
	if (err)
		vcr_store_free(s);
	else
		*out = s;
	return err;
}

void vcr_store_free(struct vcr_store *s)
{
	if (!s)
		return;
	vcr_pack_free(s->pack);
	vcr_borrow_free(s->borrow);
	git_odb_free(s->odb);
	EVP_MD_CTX_free(s->sha1);
	if (s->git_started)
		git_libgit2_shutdown();
	if (s->root >= 0)
		close(s->root);
	if (s->lock >= 0)
		close(s->lock);
	vcr_buf_release(&s->packed);
	explicit_bzero(s->key, sizeof s->key);
	vcr_buf_release(&s->scratch);
	vcr_buf_release(&s->sealed);
	free(s->workspace);
	free(s->state_dir);
	free(s->git_dir);
	free(s->vcr_rel);
	for (size_t i = 0; i < s->nsecret_name; i++)
		free(s->secret_name[i]);
	free(s->secret_name);
	for (size_t i = 0; i < s->nheavy; i++)
		free(s->heavy[i]);
	free(s->heavy);
	free(s->written);
	free(s->used);
	free(s->settled);
	free(s->session);
	free(s->refs);
	free(s);
}

/* ---- Commits ---- */

static void copy_line(char *to, size_t size, const char *from)
{
	size_t n = 0;
	for (; from && *from && n + 1 < size; from++)
		to[n++] = (unsigned char)*from < 0x20 || *from == 0x7f ? ' ' : *from;
	to[n] = 0;
}

static void write_commit(const struct vcr_savepoint *p, const char *parent, const char *session, struct vcr_buf *out)
{
	long long s = p->time_ns / 1000000000;
	vcr_buf_printf(out, "tree %s\n", p->tree);
	if (parent && *parent)
		vcr_buf_printf(out, "parent %s\n", parent);
	vcr_buf_printf(out, "author vcr <vcr> %lld +0000\ncommitter vcr <vcr> %lld +0000\n\n%s", s, s, p->kind);
	vcr_buf_printf(out, *p->message ? ": %s\n\n" : "\n\n", p->message);
	if (session)
		vcr_buf_printf(out, "vcr-session: %s\n", session);
	if (p->n >= 0)
		vcr_buf_printf(out, "vcr-n: %lld\n", (long long)p->n);
	vcr_buf_printf(out, "vcr-kind: %s\nvcr-time: %lld\nvcr-flags: %u\n", p->kind, (long long)p->time_ns, p->flags);
	if (p->attrs)
		vcr_buf_puts(out, "vcr-attributes: 1\n");
	if (*p->frame_id)
		vcr_buf_printf(out, "vcr-frame: %s\n", p->frame_id);
}

static const char *trailer(const char *text, const char *key)
{
	size_t n = strlen(key);
	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, key, n))
			return p + n;
	}
	return NULL;
}

static void copy_trailer(char *to, size_t size, const char *text, const char *key)
{
	const char *p = trailer(text, key);
	snprintf(to, size, "%.*s", p ? (int)strcspn(p, "\n") : 0, p ? p : "");
}

static int parse_commit(const char *text, struct vcr_savepoint *out, char parent[41], struct vcr_error *e)
{
	unsigned char oid[VCR_OID];
	const char *body = strstr(text, "\n\n"), *n = body ? trailer(body, "vcr-n: ") : NULL, *t = body ? trailer(body, "vcr-time: ") : NULL;
	const char *flags = body ? trailer(body, "vcr-flags: ") : NULL;
	if (strncmp(text, "tree ", 5) || strlen(text) < 46 || !body || !t)
		return vcr_error_set(e, VCR_ECORRUPT, "a commit of the shadow repository is no savepoint");
	snprintf(out->tree, sizeof out->tree, "%.40s", text + 5);
	if (!vcr_store_unhex(out->tree, oid))
		return vcr_error_set(e, VCR_ECORRUPT, "a commit of the shadow repository is no savepoint");
	snprintf(parent, 41, "%.40s", strncmp(text + 46, "parent ", 7) ? "" : text + 53);
	out->n = n ? strtoll(n, NULL, 10) : -1;
	out->time_ns = strtoll(t, NULL, 10);
	out->attrs = trailer(body, "vcr-attributes: 1") != NULL;
	out->flags = flags ? (unsigned)strtoul(flags, NULL, 10) : 0;
	copy_trailer(out->session, sizeof out->session, body, "vcr-session: ");
	copy_trailer(out->kind, sizeof out->kind, body, "vcr-kind: ");
	copy_trailer(out->frame_id, sizeof out->frame_id, body, "vcr-frame: ");
	const char *colon = body + 2 + strlen(out->kind);
	if (!strncmp(body + 2, out->kind, strlen(out->kind)) && !strncmp(colon, ": ", 2))
		snprintf(out->message, sizeof out->message, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
	return 0;
}

static int read_commit(struct vcr_store *s, const char *hex, struct vcr_savepoint *out, char parent[41], struct vcr_error *e)
{
	struct vcr_savepoint p = { 0 };
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	char nobody[41];
	git_odb_object *o;
	git_oid id;
	int err;
	if (strlen(hex) != 40 || git_oid_fromstr(&id, hex))
		return vcr_error_set(e, VCR_EINVAL, "'%.60s' is no commit id", hex);
	if ((err = git_odb_read(&o, s->odb, &id)))
		return vcr_store_git_error(e, err, "savepoint");
	if (git_odb_object_type(o) != GIT_OBJECT_COMMIT || git_odb_object_size(o) > MAX_COMMIT)
		err = vcr_error_set(e, VCR_ECORRUPT, "%s is no savepoint", hex);
	else if (!(err = vcr_buf_add(&text, git_odb_object_data(o), git_odb_object_size(o))))
		err = parse_commit(text.data, &p, parent ? parent : nobody, e);
	git_odb_object_free(o);
	if (err)
		return err;
	strcpy(p.commit, hex);
	*out = p;
	return 0;
}

int vcr_store_get_commit(struct vcr_store *s, const char *commit, struct vcr_savepoint *out, struct vcr_error *e)
{
	return read_commit(s, commit, out, NULL, e);
}

int vcr_store_get_parent(struct vcr_store *s, const char *commit, struct vcr_savepoint *out, char parent[41], struct vcr_error *e)
{
	char up[41];
	int err = read_commit(s, commit, out, up, e);
	if (!err)
		strcpy(parent, up);
	return err;
}

/* ---- Refs ---- */

int vcr_store_ref(struct vcr_store *s, const char *ref, struct vcr_savepoint *out, char parent[41], struct vcr_error *e)
{
	VCR_AUTO_BUF full = VCR_BUF_INIT;
	char commit[41];
	vcr_buf_printf(&full, "refs/%s", ref);
	if (vcr_refs_read(s, full.data, commit))
		return vcr_error_set(e, VCR_ENOTFOUND, "there is no %s in %s", full.data, s->git_dir);
	return read_commit(s, commit, out, parent, e);
}

int vcr_store_set_ref(struct vcr_store *s, const char *ref, const char *commit, struct vcr_error *e)
{
	VCR_AUTO_BUF full = VCR_BUF_INIT;
	vcr_buf_printf(&full, "refs/%s", ref);
	return vcr_refs_write(s, full.data, commit, e);
}

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int store_commit(struct vcr_store *s, struct vcr_savepoint *p, const char *parent, const char *session, const char *ref, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	unsigned char oid[VCR_OID];
	write_commit(p, parent, session, &text);
	int err = vcr_store_object(s, GIT_OBJECT_COMMIT, text.data, text.len, oid, e);
	if (err)
		return err;
	vcr_store_hex(oid, p->commit);
	return ref ? vcr_refs_write(s, ref, p->commit, e) : 0;
}

static void fill(struct vcr_savepoint *p, const struct vcr_store_note *note)
{
	copy_line(p->kind, sizeof p->kind, note->kind);
	copy_line(p->frame_id, sizeof p->frame_id, note->frame_id);
	copy_line(p->message, sizeof p->message, note->message);
	p->time_ns = now_ns();
}

int vcr_store_commit(struct vcr_store *s, const char *tree, const char *parent, const char *ref, const struct vcr_store_note *note, char out[41], struct vcr_error *e)
{
	VCR_AUTO_BUF full = VCR_BUF_INIT;
	struct vcr_savepoint p = { .n = -1, .attrs = true };
	fill(&p, note);
	snprintf(p.tree, sizeof p.tree, "%s", tree);
	vcr_buf_printf(&full, "refs/%s", ref ? ref : "");
	int err = store_commit(s, &p, parent, note->session ? note->session : s->session, ref ? full.data : NULL, e);
	if (!err)
		strcpy(out, p.commit);
	return err;
}

/* ---- Savepoints ---- */

/* s->last becomes the session's next savepoint, with this tree; attrs: it tells of attributes. */
static int next_savepoint(struct vcr_store *s, const unsigned char tree[VCR_OID], bool attrs, const struct vcr_store_note *note, struct vcr_savepoint *out, struct vcr_error *e)
{
	VCR_AUTO_BUF ref = VCR_BUF_INIT;
	struct vcr_savepoint p = { .n = s->last.n + 1, .flags = s->flags, .attrs = attrs };
	fill(&p, note);
	vcr_store_hex(tree, p.tree);
	vcr_buf_printf(&ref, "%s/%lld", s->refs, (long long)p.n);
	int err = store_commit(s, &p, s->last.n < 0 ? NULL : s->last.commit, s->session, ref.data, e);
	if (err)
		return err;
	s->last = p;
	*out = p;
	return 0;
}

/* What was written since the pack was begun is there for all from now on, or, after an error, never. */
static int close_pack(struct vcr_store *s, int err, struct vcr_error *e)
{
	struct vcr_pack *pack = s->pack;
	s->pack = NULL;
	if (err)
		vcr_pack_free(pack);
	else if (pack && !(err = vcr_pack_finish(pack, e)))
		git_odb_refresh(s->odb);
	return err;
}

static int take_base(struct vcr_store *s, const struct vcr_store_note *note, struct vcr_savepoint *out, struct vcr_error *e)
{
	unsigned char tree[VCR_OID];
	s->flags = 0;
	s->as_of_ns = note->as_of_ns;
	s->budget = s->max_base;
	s->names = VCR_STORE_NAMES;
	s->borrow = vcr_borrow_new(s);
	int err = vcr_pack_new(&s->pack, s->git_dir, e);
	if (!err)
		err = vcr_store_scan(s, tree, e);
	err = close_pack(s, err, e);
	vcr_borrow_free(s->borrow);
	s->borrow = NULL;
	s->budget = INT64_MAX;
	return err ? err : next_savepoint(s, tree, true, note, out, e);
}

int vcr_store_base(struct vcr_store *s, const struct vcr_store_note *note, struct vcr_savepoint *out, struct vcr_error *e)
{
	if (!s->session)
		return vcr_error_set(e, VCR_EINVAL, "savepoint: of no session");
	int err = enter(s, e);
	if (!err)
		err = take_base(s, note, out, e);
	vcr_store_unlock(s);
	return err;
}

static int take_dirty(struct vcr_store *s, const struct vcr_store_dirty *dirty, size_t n, const struct vcr_store_note *note, struct vcr_savepoint *out, struct vcr_error *e)
{
	unsigned char old[VCR_OID], tree[VCR_OID];
	vcr_store_unhex(s->last.tree, old);
	s->flags = s->last.flags & VCR_SAVEPOINT_LIMITED;
	s->as_of_ns = note->as_of_ns;
	int err = n >= FEW ? vcr_pack_new(&s->pack, s->git_dir, e) : 0; /* a build's output */
	if (!err)
		err = vcr_store_apply_dirty(s, old, dirty, n, tree, e);
	if ((err = close_pack(s, err, e)))
		return err;
	if (!memcmp(old, tree, VCR_OID) && !strcmp(note->kind, "call")) {
		*out = s->last;
		return 0;
	}
	return next_savepoint(s, tree, s->last.attrs, note, out, e);
}

int vcr_store_take(struct vcr_store *s, const struct vcr_store_dirty *dirty, size_t n, const struct vcr_store_note *note, struct vcr_savepoint *out, struct vcr_error *e)
{
	if (!s->session || s->last.n < 0)
		return vcr_error_set(e, VCR_ENOTFOUND, "savepoint: the session has no base");
	int err = enter(s, e);
	if (!err)
		err = take_dirty(s, dirty, n, note, out, e);
	vcr_store_unlock(s);
	return err;
}

static int pack_object(struct vcr_store *s, struct vcr_pack *pack, const unsigned char oid[VCR_OID], struct vcr_error *e)
{
	git_odb_object *o;
	git_oid id;
	git_oid_fromraw(&id, oid);
	int err = vcr_pack_has(pack, oid) ? 0 : git_odb_read(&o, s->odb, &id);
	if (err == GIT_ENOTFOUND)
		return 0; /* no savepoint came of it, and housekeeping took it away */
	if (err)
		return vcr_store_git_error(e, err, "shadow repository");
	if (vcr_pack_has(pack, oid))
		return 0;
	err = vcr_pack_add(pack, git_odb_object_type(o), git_odb_object_data(o), git_odb_object_size(o), oid, e);
	git_odb_object_free(o);
	return err;
}

static int pack_written(struct vcr_store *s, struct vcr_error *e)
{
	struct vcr_pack *pack;
	int err = vcr_pack_new(&pack, s->git_dir, e);
	if (err)
		return err;
	for (size_t i = 0; !err && i < s->nwritten; i++)
		err = pack_object(s, pack, s->written[i], e);
	if (err) {
		vcr_pack_free(pack);
		return err;
	}
	if ((err = vcr_pack_finish(pack, e)))
		return err;
	for (size_t i = 0; i < s->nwritten; i++) { /* from here on they are in the pack */
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		char hex[41];
		vcr_store_hex(s->written[i], hex);
		vcr_buf_printf(&path, "%s/objects/%.2s/%s", s->git_dir, hex, hex + 2);
		unlink(path.data);
	}
	s->nwritten = 0;
	git_odb_refresh(s->odb);
	return 0;
}

int vcr_store_pack(struct vcr_store *s, struct vcr_error *e)
{
	if (s->nwritten < FEW)
		return 0;
	int err = enter(s, e);
	if (!err)
		err = pack_written(s, e);
	vcr_store_unlock(s);
	return err;
}

static int get_number(struct vcr_store *s, const char *refs, const char *session, int64_t n, struct vcr_savepoint *out, struct vcr_error *e)
{
	VCR_AUTO_BUF ref = VCR_BUF_INIT;
	char commit[41];
	vcr_buf_printf(&ref, "%s/%lld", refs, (long long)n);
	if (n < 0 || vcr_refs_read(s, ref.data, commit))
		return n < 0 ? vcr_error_set(e, VCR_ENOTFOUND, "session %s has no savepoints in %s", session, s->git_dir)
			: vcr_error_set(e, VCR_ENOTFOUND, "session %s has no savepoint %lld", session, (long long)n);
	return read_commit(s, commit, out, NULL, e);
}

int vcr_store_get(struct vcr_store *s, const char *session, int64_t n, struct vcr_savepoint *out, struct vcr_error *e)
{
	char *refs = vcr_refs_name(session);
	int err = refs ? get_number(s, refs, session, n < 0 ? vcr_refs_last(s, refs) : n, out, e) : vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
	free(refs);
	return err;
}

int vcr_store_get_time(struct vcr_store *s, const char *session, int64_t time_ns, struct vcr_savepoint *out, struct vcr_error *e)
{
	struct vcr_savepoint p, best = { .n = -1 };
	char *refs = vcr_refs_name(session);
	int err = refs ? 0 : vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
	int64_t low = 0, high = refs ? vcr_refs_last(s, refs) : -1;
	if (!err && high < 0)
		err = get_number(s, refs, session, -1, &p, e);
	while (!err && low <= high) {
		int64_t middle = low + (high - low) / 2;
		if (!(err = get_number(s, refs, session, middle, &p, e))) {
			if (p.time_ns <= time_ns) {
				best = p;
				low = middle + 1;
			} else {
				high = middle - 1;
			}
		}
	}
	free(refs);
	if (!err && best.n < 0)
		err = vcr_error_set(e, VCR_ENOTFOUND, "session %s begins later than that", session);
	if (!err)
		*out = best;
	return err;
}
