/* savepoint-attrs.c — extended attributes in savepoints (attrs.h): sealed, for a secret that is escaped there is none that has_secret would know. */
#include "savepoint-parts.h"
#include "attrs.h"
#include <string.h>

int vcr_store_attrs(struct vcr_store *s, int dir, const char *name, const char *path, unsigned char oid[VCR_OID], struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	memset(oid, 0, VCR_OID);
	int err = s->in_heavy ? 0 : vcr_attrs_read(dir, name, &text);
	if (err > 0)
		s->flags |= VCR_SAVEPOINT_LIMITED;
	if (err < 0)
		return vcr_error_set(e, err, "the attributes of %s: %s", path, vcr_strerror(err));
	return text.len ? vcr_store_sealed_blob(s, text.data, text.len, oid, e) : 0;
}
