import { verifyTraining } from './training.ts'
const t = performance.now()
const rows = await verifyTraining(process.argv[2]!, { prefix: '', engine: 'portable', ...(process.argv[3] ? { only: process.argv.slice(3) } : {}) })
for await (const r of rows) console.log(r.ok ? 'ok  ' : 'FAIL', r.name, r.found.toPrecision(6), r.wanted.toPrecision(6), r.deviation.toExponential(1), r.tolerance)
console.log(((performance.now() - t) / 1000).toFixed(1), 's', process.memoryUsage().rss / 2 ** 20)
