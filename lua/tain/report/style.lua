--- How the page looks: one style for light, dark and paper. Colours are Okabe and Ito's, which all
--- eyes tell apart; nothing is said by colour alone.

return [[
:root {
  color-scheme: light dark;
  --page: #f7f6f2; --card: #ffffff; --ink: #1d1c1a; --soft: #615e58; --rule: #dedad1;
  --yes: #0072b2; --no: #d55e00; --odd: #8a6d00; --good: #00795a;
  --c1: #0072b2; --c2: #d55e00; --c3: #00795a; --c4: #a8478a; --wash: #eef3f7; --warn: #fff4dc;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #141517; --card: #1d1f22; --ink: #efede9; --soft: #aca8a0; --rule: #383a3e;
    --yes: #56b4e9; --no: #f08a3e; --odd: #f0e442; --good: #2fc79a;
    --c1: #56b4e9; --c2: #f08a3e; --c3: #2fc79a; --c4: #e39ac6; --wash: #22282d; --warn: #3a2f14;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 17px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans",
    sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 2.2rem 1.6rem 4rem; }
h1 { font-size: 2.3rem; line-height: 1.15; margin: 0 0 .3rem; letter-spacing: -.015em; }
h2 { font-size: 1.5rem; line-height: 1.2; margin: 3.2rem 0 .4rem; letter-spacing: -.01em; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
p { margin: .3rem 0 .8rem; max-width: 46em; }
.soft { color: var(--soft); }
.lead { font-size: 1.3rem; line-height: 1.4; max-width: 40em; margin: .9rem 0 1.6rem; }
code { font: .88em ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1em; margin-top: 1.3rem; font-size: .95rem; }
nav a { color: var(--yes); text-decoration: none; }
nav a:hover { text-decoration: underline; }

.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(235px, 1fr)); }
.wide { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); }
.two { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(430px, 1fr)); }
.duos { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(305px, 1fr)); }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 1rem 1.1rem; margin: 0; break-inside: avoid; }
.big { font-size: 2.35rem; font-weight: 650; letter-spacing: -.02em; line-height: 1.15;
  white-space: nowrap; }
.big .from { color: var(--soft); font-size: 1.5rem; font-weight: 400; }
.card .note { font-size: .87rem; color: var(--soft); margin: .15rem 0 0; }
.better { color: var(--good); font-weight: 600; }
.worse { color: var(--no); font-weight: 600; }
.warning { background: var(--warn); border: 2px solid var(--no); border-radius: 10px;
  padding: .8rem 1.1rem; margin: 1.2rem 0; break-inside: avoid; }

figure.card figcaption { font-size: .93rem; line-height: 1.4; margin-bottom: .5rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 13px; fill: var(--ink); }
svg .tick { fill: var(--soft); font-size: 12.5px; }
svg .small { fill: var(--soft); font-size: 11px; paint-order: stroke; stroke: var(--card);
  stroke-width: 4px; stroke-linejoin: round; }
svg .name { font-weight: 600; }
svg .rule { stroke: var(--rule); stroke-width: 1; }
svg .axis { stroke: var(--soft); stroke-width: 1; }
svg .mark { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 4; }
svg polyline { fill: none; stroke-width: 2.4; stroke-linejoin: round; stroke-linecap: round; }
svg .raw { stroke-width: 1; opacity: .38; }
svg .whisker { fill: none; stroke-width: 1.4; opacity: .75; }
.s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); }
.s3 { stroke: var(--c3); } .s4 { stroke: var(--c4); }
.s2 .curve { stroke-dasharray: 9 4; } .s3 .curve { stroke-dasharray: 2 5; }
.s4 .curve { stroke-dasharray: 10 4 2 4; }
.point { fill: var(--card); stroke-width: 2.2; }
svg .c1 { fill: var(--c1); } svg .c2 { fill: var(--c2); } svg .c3 { fill: var(--c3); }
svg .c4 { fill: var(--c4); }
.flow { margin-top: .6rem; }
.node { fill: var(--ink); } .node.good { fill: var(--good); } .node.wait { fill: var(--soft); }
path.flow { opacity: .3; } path.good { fill: var(--good); } path.wait { fill: var(--soft); }

.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--rule);
  border-radius: 10px; margin: .6rem 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th, td { text-align: left; padding: .5rem .8rem; border-bottom: 1px solid var(--rule);
  vertical-align: top; }
thead th { font-size: .87rem; color: var(--soft); font-weight: 600; border-bottom-width: 2px; }
tbody tr:last-child > * { border-bottom: 0; }
.numbers td, .numbers th[scope=row] { font-variant-numeric: tabular-nums; white-space: nowrap; }
.numbers small { color: var(--soft); font-size: .8rem; }
.settings th { font-weight: 500; width: 16em; }
.settings td { overflow-wrap: anywhere; }

.pictures th[scope=row] { width: 13.5em; font-weight: 600; line-height: 1.3; }
.pictures th[scope=row] .soft { font-weight: 400; font-size: .85rem; display: block; }
.pictures td { padding: .55rem .45rem; width: 8rem; }
.shot { margin: 0; width: 112px; font-size: .82rem; line-height: 1.3; break-inside: avoid; }
.shot img, .shot .lost { display: block; width: 112px; height: 112px; image-rendering: pixelated;
  border: 5px solid var(--soft); border-radius: 6px; background: #f0f0f0; color: #555;
  -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.shot .lost { padding: 2.2em .5em 0; text-align: center; }
.shot.accepted img { border-color: var(--yes); }
.shot.rejected img { border-color: var(--no); border-style: dashed; }
.shot.unclear img { border-color: var(--odd); border-style: dotted; }
.shot figcaption { margin-top: .25rem; }
.shot b { font-variant-numeric: tabular-nums; }
.shot .apart { display: inline-block; background: var(--warn); border: 1px solid var(--odd);
  border-radius: 4px; padding: 0 .3em; margin-top: .1em; }
.row { display: flex; flex-wrap: wrap; gap: .8rem; align-items: flex-start; }
.pair { display: flex; gap: .8rem; align-items: flex-start; }
.pair .over { color: var(--soft); font-size: .85rem; padding-top: 46px; }
.strip { margin: 0 0 1.1rem; break-inside: avoid; }
.key { display: flex; flex-wrap: wrap; gap: .3rem 1.6rem; font-size: .93rem;
  margin: .3rem 0 .8rem; }
.key i { display: inline-block; width: 1.05em; height: 1.05em; border: 4px solid;
  border-radius: 3px; vertical-align: -.18em; margin-right: .45em; }
.key .accepted { border-color: var(--yes); }
.key .rejected { border-color: var(--no); border-style: dashed; }
.key .unclear { border-color: var(--odd); border-style: dotted; }
[hidden] { display: none !important; }
.controls { display: grid; gap: 1rem 2rem; margin: .8rem 0; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(235px, 1fr)); }
.controls label { display: block; font-size: .95rem; }
.controls output { float: right; font-weight: 650; font-variant-numeric: tabular-nums; }
.controls input { width: 100%; accent-color: var(--yes); }
.controls small { color: var(--soft); }
.controls select, .controls button { font: inherit; padding: .25em .7em; }
.dots circle { fill: var(--c2); opacity: .55; }
footer { margin-top: 3.5rem; color: var(--soft); font-size: .9rem; }

@media (max-width: 520px) { .two, .wide, .duos { grid-template-columns: 1fr; } }
@media print {
  :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #bbb; --yes: #0072b2;
    --no: #d55e00; --odd: #8a6d00; --good: #00795a; --c1: #0072b2; --c2: #d55e00; --c3: #00795a;
    --c4: #a8478a; --warn: #fff; }
  body { font-size: 11pt; }
  main { max-width: none; padding: 0; }
  nav, .live { display: none; }
  h2 { break-after: avoid; margin-top: 1.6rem; }
  .scroll { overflow: visible; }
  .card, .scroll { border-radius: 0; }
  .shot, .shot img { width: 84px; }
  .shot img { height: 84px; }
}
]]
