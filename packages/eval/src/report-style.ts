/** Style sheet of the report page: light and dark, phone to desktop, no request. */
export const reportStyle = `
:root { color-scheme: light dark; --page: #f6f7f9; --surface: #ffffff; --ink: #16191f; --soft: #565d6b;
  --line: #d9dde4; --accent: #1f5fae; --band: #a9c6ea; --heat: #3f86d8; --warn: #7a4a00; --warn-page: #fff1d6; }
@media (prefers-color-scheme: dark) { :root { --page: #101216; --surface: #181b21; --ink: #eceef2;
  --soft: #a6adba; --line: #323843; --accent: #7fb2f5; --band: #35588a; --heat: #3b7fd6;
  --warn: #ffd894; --warn-page: #3a2a0c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .75rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 .75rem; }
section { background: var(--surface); border: 1px solid var(--line); border-radius: .5rem;
  padding: 1rem; margin: 0 0 1rem; }
p { margin: 0 0 .5rem; }
.banner { background: var(--warn-page); color: var(--warn); border: 1px solid currentColor;
  border-radius: .5rem; padding: .6rem 1rem; font-weight: 600; overflow-wrap: anywhere; }
.number { font-size: clamp(2.5rem, 9vw, 4rem); line-height: 1.1; font-weight: 700;
  font-variant-numeric: tabular-nums; margin: 0; }
.soft { color: var(--soft); font-size: .9rem; }
.scroll { overflow-x: auto; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-weight: 600; }
thead th { color: var(--soft); font-size: .85rem; white-space: nowrap; }
th:first-child, td.text { text-align: left; }
tbody td { white-space: nowrap; }
.heat td { min-width: 3.6rem; border: 1px solid var(--surface); text-align: center; padding: .3rem;
  background: color-mix(in srgb, var(--heat) var(--share), var(--surface)); }
.heat thead th { text-align: center; }
.heat thead th:first-child { text-align: left; }
.heat tbody th { position: sticky; left: 0; background: var(--surface); font-size: .85rem;
  white-space: nowrap; }
.heat small { display: block; font-size: .75rem; }
.heat .own { outline: 2px solid var(--accent); outline-offset: -3px; }
.measures { list-style: none; padding: 0; margin: 0; }
.measures li { display: grid; grid-template-columns: minmax(9rem, 15rem) 1fr 5rem; gap: .1rem .75rem;
  align-items: center; padding: .4rem 0; border-bottom: 1px solid var(--line); }
.measures li:last-child { border: 0; }
.measures .soft { grid-column: 1 / -1; overflow-wrap: anywhere; }
.measures b { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.track { position: relative; height: .9rem; background: var(--page); border: 1px solid var(--line);
  border-radius: .25rem; overflow: hidden; }
.track i { position: absolute; top: 0; bottom: 0; }
.track .band { background: var(--band); left: var(--from); width: var(--span); }
.track .tick { background: var(--accent); left: calc(var(--at) - 1.5px); width: 3px; }
.bar i { display: block; height: .9rem; background: var(--band); width: var(--share);
  min-width: 1px; border-radius: .2rem; margin-top: .3rem; }
figure.curve { margin: 0 0 1rem; }
.curve svg { display: block; width: 100%; max-width: 40rem; height: auto; overflow: visible; }
.curve text { fill: var(--soft); font: 15px system-ui, sans-serif; }
.curve .grid { stroke: var(--line); }
.curve .line { fill: none; stroke-width: 3; stroke: var(--accent); }
.curve .dot { fill: var(--accent); }
.curve .range { stroke: var(--band); stroke-width: 8; }
.curve .recall { stroke: var(--soft); stroke-dasharray: 8 5; }
.curve .cosine { stroke: var(--soft); stroke-dasharray: 2 5; }
.wide { min-width: 8rem; text-align: left; }
.words td { white-space: normal; overflow-wrap: anywhere; min-width: 5rem; }
.mistakes { list-style: none; padding: 0; margin: 0; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 28rem), 1fr)); }
.mistakes li { display: flex; flex-wrap: wrap; gap: .75rem; align-items: flex-start; }
.mistakes p { flex: 1 1 8rem; min-width: 0; overflow-wrap: anywhere; }
.mistakes img, .no-picture { width: 6rem; height: 6rem; border-radius: .3rem; object-fit: cover;
  background: var(--line); font-size: .8rem; display: inline-block; }
.near { display: flex; gap: .4rem; }
.near figure { margin: 0; width: 3.6rem; }
.near img, .near .no-picture { width: 3.6rem; height: 3.6rem; }
.near figcaption { font-size: .7rem; color: var(--soft); overflow-wrap: anywhere; }
.funnel { table-layout: fixed; }
.funnel th { overflow-wrap: anywhere; }
.funnel th .soft { font-weight: 400; }
.funnel th:nth-child(2) { width: 5.5rem; }
.funnel th:nth-child(3) { width: 28%; text-align: left; }
dl { display: grid; grid-template-columns: minmax(7rem, 14rem) 1fr; gap: .25rem 1rem; margin: 0; }
dt { color: var(--soft); overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; }
dd.digest { font-family: ui-monospace, monospace; font-size: .8rem; line-height: 1.9; }
summary { cursor: pointer; padding: .5rem 0; color: var(--accent); font-weight: 600; }
@media (max-width: 36rem) { main { padding: .6rem; } section { padding: .8rem; }
  .measures li { grid-template-columns: 1fr auto; } .measures .track { grid-column: 1 / -1; order: 1; }
  .measures .soft { order: 2; } dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
`
