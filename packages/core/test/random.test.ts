import t from 'tap'
import { openRandom, uniforms } from '../src/random.ts'

t.test('the formula generator gives the reference uniforms', t => {
  const first = (name: string) => [...uniforms(name, 4)].map(u => u.toFixed(9))
  t.same(first('input'), ['0.771551457', '-0.733248013', '-0.869449063', '0.980700902'])
  t.same(first('student.backbone.features.conv0.weight'), [
    '-0.663283464',
    '0.990190551',
    '0.224952969',
    '-0.419826084',
  ])
  t.end()
})

t.test('a stream is a function of its name and shuffles without loss', t => {
  const order = (name: string) => openRandom(name).shuffle([...Array(50).keys()])
  t.same(order('7/order/1'), order('7/order/1'))
  t.notSame(order('7/order/1'), order('7/order/2'))
  t.same(
    order('7/order/1').sort((a, b) => a - b),
    [...Array(50).keys()],
  )
  const random = openRandom('normal')
  const values = Array.from({ length: 20_000 }, () => random.normal())
  const mean = values.reduce((a, b) => a + b) / values.length
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length
  t.ok(Math.abs(mean) < 0.03, `mean ${mean}`)
  t.ok(Math.abs(variance - 1) < 0.05, `variance ${variance}`)
  t.end()
})
