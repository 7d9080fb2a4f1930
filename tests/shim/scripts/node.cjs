// What node programs do with files, children, sockets, threads and their own end.
const fs = require('node:fs'), cp = require('node:child_process'), net = require('node:net'), path = require('node:path'), os = require('node:os');
const { Worker, isMainThread, parentPort } = require('node:worker_threads');
const say = (...a) => console.log(...a);

if (!isMainThread) {
	parentPort.postMessage(fs.readFileSync('sync', 'utf8').length);
} else if (process.argv[2] === 'child') {
	process.on('message', m => process.send(m + 1, () => process.disconnect()));
} else {
	(async () => {
		fs.writeFileSync('sync', 'sync text'); fs.appendFileSync('sync', ' more'); say(fs.readFileSync('sync', 'utf8'), fs.statSync('sync').size);
		await fs.promises.writeFile('async', Buffer.alloc(100000, 'x')); await fs.promises.copyFile('async', 'copy'); await fs.promises.rename('copy', 'renamed');
		say((await fs.promises.readFile('renamed')).length);
		fs.mkdirSync('a/b/c', { recursive: true }); fs.cpSync('a', 'z', { recursive: true }); say(fs.readdirSync('z/b')); fs.rmSync('z', { recursive: true });
		const fd = fs.openSync('fd', 'w+'); fs.writeSync(fd, 'positioned', 5); fs.writevSync(fd, [Buffer.from('ab'), Buffer.from('cd')], 0); fs.ftruncateSync(fd, 12); fs.closeSync(fd);
		say(JSON.stringify(fs.readFileSync('fd', 'latin1'))); fs.symlinkSync('fd', 'link'); say(fs.readlinkSync('link')); fs.chmodSync('fd', 0o640); say((fs.statSync('fd').mode & 0o777).toString(8));
		await new Promise(r => fs.createReadStream('async').pipe(fs.createWriteStream('piped')).on('finish', r)); say(fs.statSync('piped').size);
		const mkd = fs.mkdtempSync('tmp-'); say(mkd.length); fs.rmdirSync(mkd);
		say(cp.execFileSync('/bin/sh', ['-c', 'echo child; exit 0']).toString().trim(), cp.spawnSync('/bin/sh', ['-c', 'exit 7']).status, cp.spawnSync('/bin/sh', ['-c', 'kill -9 $$']).signal);
		say(cp.spawnSync('/usr/bin/env', [], { env: {} }).stdout.toString(), cp.spawnSync('/usr/bin/env', [], { env: { A: '1' } }).stdout.toString().trim(), cp.execSync('echo $0').toString().trim());
		say(cp.spawnSync('/nonexistent').error.code, cp.spawnSync('cat', { input: 'through cat' }).stdout.toString(), cp.spawnSync('sleep', ['5'], { timeout: 100 }).signal);
		const child = cp.fork(__filename, ['child']); child.send(41); say(await new Promise(r => child.on('message', r))); await new Promise(r => child.on('exit', r));
		say(await new Promise(r => new Worker(__filename).on('message', r)));
		const server = net.createServer(s => s.pipe(s)); await new Promise(r => server.listen(0, '127.0.0.1', r));
		const client = net.connect(server.address().port, '127.0.0.1'); client.end('x'.repeat(200000)); let n = 0; for await (const c of client) n += c.length; say(n); server.close();
		const unix = net.createServer(s => s.end('unix')); await new Promise(r => unix.listen(path.resolve('s'), r));
		let text = ''; for await (const c of net.connect(path.resolve('s'))) text += c; say(text); unix.close();
		const refused = await new Promise(r => net.connect(1, '127.0.0.1').on('error', e => r(e.code))); say(refused);
		say(Object.keys(process.env).filter(k => /^(LD_|VCR_)/.test(k) && !(process.env.KNOWN || '').split(' ').includes(k)), process.execArgv, typeof os.cpus().length);
		const watcher = fs.watch('.'); setTimeout(() => fs.writeFileSync('seen', ''), 20); say(await new Promise(r => watcher.on('change', (t, f) => f === 'seen' && r(f)))); watcher.close();
		process.on('exit', c => say('exit', c)); process.exitCode = 6; queueMicrotask(() => say('micro')); setImmediate(() => say('immediate'));
	})();
}
