// http2.cjs — a model server and its client, node's http2 both: three questions at once on one connection. Prints, a line of JSON each, the bytes that
// the client sent and got, as base64. The key and certificate are in $CERTS.
'use strict';
const http2 = require('http2');
const fs = require('fs');
const pem = name => fs.readFileSync(`${process.env.CERTS}/${name}.pem`);
const server = http2.createSecureServer({ key: pem('key'), cert: pem('cert') });

const answer = question => JSON.stringify({
  id: 'c', object: 'chat.completion', model: 'gpt-4o-mini', usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
  choices: [{ index: 0, message: { role: 'assistant', content: `où? ${question.length} `.repeat(question.length / 10) }, finish_reason: 'stop' }],
});

server.on('stream', stream => {
  let question = '';
  stream.setEncoding('utf8').on('data', d => question += d).on('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/json' });
    stream.end(answer(question));
  });
});

function ask(client, i) {
  const body = JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: `question ${i} ` + 'x'.repeat(20000 * i) }] });
  return new Promise(done => {
    const pieces = [];
    const r = client.request({ ':method': 'POST', ':path': '/v1/chat/completions', 'content-type': 'application/json' });
    r.on('data', d => pieces.push(d)).on('end', () => done({ request: Buffer.from(body).toString('base64'), answer: Buffer.concat(pieces).toString('base64') }));
    r.end(body);
  });
}

server.listen(0, '127.0.0.1', async () => {
  const client = http2.connect(`https://localhost:${server.address().port}`, { rejectUnauthorized: false });
  for (const said of await Promise.all([1, 2, 3].map(i => ask(client, i))))
    console.log(JSON.stringify(said));
  client.close();
  server.close();
});
