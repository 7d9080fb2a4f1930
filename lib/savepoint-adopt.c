/* savepoint-adopt.c — savepoints of a session become those of another store: of a transaction that had a work tree of its own, and has been merged. */
#include "savepoint-parts.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);
	return n >= k && !strcmp(s + n - k, end);
}

/* Every file of a directory of objects gets a second name; with `end`, those whose names end so. */
static int link_files(const char *from, const char *to, const char *end, struct vcr_error *e)
{
	DIR *d = opendir(from);
	int err = 0;
	if (!d)
		return errno == ENOENT ? 0 : vcr_error_sys(e, errno, "%s", from);
	if (mkdir(to, 0700) && errno != EEXIST)
		err = vcr_error_sys(e, errno, "%s", to);
	for (struct dirent *ent; !err && (ent = readdir(d));) {
		VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
		if (*ent->d_name == '.' || (end && !ends_with(ent->d_name, end)))
			continue;
		vcr_buf_printf(&a, "%s/%s", from, ent->d_name);
		vcr_buf_printf(&b, "%s/%s", to, ent->d_name);
		if (link(a.data, b.data) && errno != EEXIST)
			err = vcr_error_sys(e, errno, "%s", b.data);
	}
	closedir(d);
	return err;
}

/* A pack before its index: by the index others find it. */
static int link_objects(const char *from, const char *to, struct vcr_error *e)
{
	static const char *const ends[] = { ".pack", ".idx" };
	int err = 0;
	for (int i = 0; i < 256 + 2 && !err; i++) {
		VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
		vcr_buf_printf(&a, i < 256 ? "%s/objects/%02x" : "%s/objects/pack", from, (unsigned)i);
		vcr_buf_printf(&b, i < 256 ? "%s/objects/%02x" : "%s/objects/pack", to, (unsigned)i);
		err = link_files(a.data, b.data, i < 256 ? NULL : ends[i - 256], e);
	}
	return err;
}

int vcr_store_adopt(struct vcr_store *s, struct vcr_store *from, const char *session, struct vcr_error *e)
{
	char *refs = vcr_refs_name(session);
	struct vcr_savepoint p;
	if (!refs)
		return vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
	int err = vcr_store_lock_shared(s) ? vcr_store_reopen(s, e) : 0;
	if (!err)
		err = link_objects(from->git_dir, s->git_dir, e);
	for (int64_t n = 0; !err && !vcr_store_get(from, session, n, &p, NULL); n++) {
		VCR_AUTO_BUF ref = VCR_BUF_INIT;
		vcr_buf_printf(&ref, "%s/%lld", refs, (long long)n);
		err = vcr_refs_write(s, ref.data, p.commit, e);
	}
	vcr_store_unlock(s);
	free(refs);
	return err;
}
