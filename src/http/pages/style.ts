// The look of the pages: one sheet, which a browser keeps until it changes. Colours are set in one place, for light and
// dark; what is coloured also says in words what it means.

/** The sheet. */
export const STYLE = `
:root{color-scheme:light dark;--bg:#fafaf9;--panel:#fff;--ink:#1a1e22;--dim:#596269;--line:#e2e4e6;--rule:#eef0f1;--accent:#0b665c;--rest:#a9b2b8;--code:#f3f4f4;--ok:#1d6f3c;--warn:#8a4b00;--warnbg:#fdf3e0;--bad:#b0231b;
--sans:Inter,system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','Liberation Sans',Arial,sans-serif;--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace}
@media(prefers-color-scheme:dark){:root{--bg:#101316;--panel:#161a1e;--ink:#e3e7ea;--dim:#98a3ab;--line:#2a3036;--rule:#20262b;--accent:#5cc7b6;--rest:#56616a;--code:#0c0f11;--ok:#6ccb8c;--warn:#e3ab51;--warnbg:#2b2212;--bad:#ff8d82}}
*,::before,::after{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:14px/1.5 var(--sans);font-variant-numeric:tabular-nums;overflow-wrap:break-word}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-999px}.skip:focus{left:8px;top:8px;z-index:1;padding:6px 12px;background:var(--panel)}
.top,main,footer{max-width:1152px;margin:0 auto;padding:0 24px}
header{background:var(--panel);border-bottom:1px solid var(--line)}
.top{display:flex;flex-wrap:wrap;align-items:center;gap:0 28px;min-height:52px}
.brand{display:flex;align-items:center;gap:9px;font-weight:650;color:var(--ink);letter-spacing:-.01em}.brand:hover{text-decoration:none}
.brand svg{width:20px;height:20px;color:var(--accent)}
nav ul{display:flex;gap:22px;margin:0;padding:0;list-style:none}
nav a{display:block;padding:16px 0 13px;border-bottom:2px solid transparent;color:var(--dim)}nav a:hover{color:var(--ink);text-decoration:none}
nav [aria-current]{color:var(--ink);border-color:var(--accent);font-weight:550}
.who{margin-left:auto;color:var(--dim);font-size:13px}
main{padding-top:28px;padding-bottom:40px}
footer{padding-top:14px;padding-bottom:28px;color:var(--dim);font-size:12.5px;display:flex;flex-wrap:wrap;gap:4px 20px}
h1{margin:0;font-size:21px;line-height:1.3;font-weight:620;letter-spacing:-.015em}
h2{margin:0 0 12px;font-size:15px;font-weight:620;letter-spacing:-.005em}
p{margin:0 0 12px;max-width:74ch}
.head{display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 16px;margin-bottom:20px}.head p{margin:0;max-width:none;color:var(--dim)}
.crumbs{margin:0 0 4px;color:var(--dim);font-size:13px}
section{margin-top:32px}
.under{margin:10px 0 0;max-width:none;color:var(--dim)}
.dim,small{color:var(--dim)}small{font-size:12.5px}
.ok{color:var(--ok)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.dot::before{content:"";display:inline-block;width:7px;height:7px;margin-right:7px;border-radius:50%;background:currentColor;vertical-align:1px}
.note{margin:0 0 16px;padding:10px 14px;border:1px solid var(--line);border-left:3px solid var(--rest);border-radius:4px;background:var(--panel);max-width:none}
.alert{border-left-color:var(--warn);background:var(--warnbg)}.note ul{margin:4px 0 0;padding-left:18px}
.tiles{display:grid;grid-template-columns:repeat(5,1fr);margin:0;border:1px solid var(--line);border-radius:6px;background:var(--panel);overflow:hidden}
.tiles>div{padding:14px 18px 13px;border-left:1px solid var(--line);margin-left:-1px}
.tiles dt{color:var(--dim);font-size:13px}.tiles dd{margin:0}.tiles .big{font-size:25px;line-height:1.35;font-weight:600;letter-spacing:-.02em}.tiles small{display:block}
.two{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:20px}
.panel,figure{margin:0;padding:16px 18px;border:1px solid var(--line);border-radius:6px;background:var(--panel);min-width:0}
figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 12px;margin-bottom:10px;font-weight:600}figcaption span{font-weight:400;color:var(--dim)}
.plot{display:block;width:calc(100% - 52px);height:150px;margin:6px 0 24px 52px;overflow:visible}
.plot text{fill:var(--dim);font-size:11.5px}.plot .grid{stroke:var(--rule)}.plot .base{stroke:var(--line)}
.plot .one,.spark .one{fill:var(--accent)}.plot .two-of{fill:var(--rest)}.plot .line{fill:none;stroke:var(--accent);stroke-width:2;stroke-linejoin:round;stroke-linecap:round;vector-effect:non-scaling-stroke}
.plot .hit{fill:transparent}.plot .hit:hover{fill:var(--ink);fill-opacity:.07}
.key{display:inline-flex;gap:14px;font-size:12.5px}.key i{display:inline-block;width:9px;height:9px;margin-right:6px;border-radius:2px;background:var(--accent)}.key i.rest{background:var(--rest)}
.spark{display:block;width:104px;height:22px}.spark .none{fill:var(--line)}
.bar{display:block;width:100%;max-width:200px;height:6px;margin-top:5px;border-radius:3px;background:var(--line)}.bar.wide{max-width:none;height:8px;border-radius:4px;margin:10px 0}.bar rect{fill:var(--accent)}.bar .low{fill:var(--warn)}.bar .out{fill:var(--bad)}.bar .mark{fill:var(--ink)}
table{width:100%;border-collapse:collapse;font-size:13.5px}
.wrap{border:1px solid var(--line);border-radius:6px;background:var(--panel);overflow:hidden}
th,td{padding:8px 14px;text-align:left;vertical-align:top;border-top:1px solid var(--rule)}
thead th{border-top:0;border-bottom:1px solid var(--line);color:var(--dim);font-weight:500;font-size:12.5px;white-space:nowrap}
tbody tr:first-child>*{border-top:0}tbody th{font-weight:500}
.num{text-align:right}th.num,td.num{white-space:nowrap}
.tight{white-space:nowrap}
details{margin-top:2px;font-size:13px}summary{cursor:pointer;color:var(--dim);width:fit-content}summary:hover{color:var(--ink)}details[open]>summary{margin-bottom:8px}
details .scroll{max-height:280px;overflow:auto}details th,details td{padding:4px 10px 4px 0}
code,pre,.mono{font-family:var(--mono);font-size:12.5px}
code{overflow-wrap:anywhere}
pre{margin:0;padding:12px 14px;border:1px solid var(--line);border-radius:5px;background:var(--code);line-height:1.55;overflow-x:auto;white-space:pre;tab-size:2}
.copy{user-select:all;-webkit-user-select:all}
.step{margin-top:20px}.step h2{margin:0 0 8px;font-size:13.5px;display:flex;flex-wrap:wrap;gap:0 10px;align-items:baseline}.step h2 code{color:var(--dim);font-weight:400}
form{display:flex;flex-wrap:wrap;gap:12px 16px;align-items:end;margin:0 0 20px}
label{display:block;font-size:12.5px;color:var(--dim)}
input,select,button{display:block;height:34px;margin-top:3px;padding:0 10px;border:1px solid var(--rest);border-radius:5px;background:var(--panel);color:var(--ink);font:inherit;max-width:100%}
input[type=search]{width:320px}input[type=checkbox]{display:inline-block;width:15px;height:15px;margin:0 7px 0 0;vertical-align:-2px;accent-color:var(--accent)}.check{color:var(--ink);font-size:14px;height:34px;display:flex;align-items:center}
button{padding:0 16px;border-color:var(--accent);background:var(--accent);color:var(--bg);font-weight:550;cursor:pointer}button:hover{filter:brightness(1.08)}
.tag{display:inline-block;margin:0 4px 3px 0;padding:0 7px;border:1px solid var(--line);border-radius:4px;background:var(--code);font:12.5px/1.6 var(--mono);color:var(--ink);max-width:100%;overflow-wrap:anywhere}a.tag{color:var(--accent)}
.kind{font-size:12.5px;color:var(--dim)}.fill{margin-bottom:14px}.fill p{margin:0}.more{display:block}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:5px 20px;margin:0;font-size:13.5px}.facts dt{color:var(--dim)}.facts dd{margin:0;overflow-wrap:anywhere}
.pages{display:flex;gap:18px;margin:14px 0 0}
.empty{max-width:none;padding:28px 18px;color:var(--dim);text-align:center}
.cmd{display:grid;gap:8px}.cmd>div{display:grid;grid-template-columns:110px minmax(0,1fr);align-items:baseline}
.cmd pre{padding:6px 12px}
.sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media(max-width:860px){.two{grid-template-columns:minmax(0,1fr)}.tiles{grid-template-columns:repeat(2,1fr)}.tiles>div{border-top:1px solid var(--line);margin-top:-1px}.tiles>div:last-child{grid-column:1/-1}}
@media(max-width:640px){.top,main,footer{padding-left:16px;padding-right:16px}.top{padding-top:10px;gap:0 12px}.who{font-size:12.5px}nav{order:3;width:100%}nav ul{justify-content:space-between;gap:8px}nav a{padding:9px 0 8px}main{padding-top:20px}
.cards thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}.cards,.cards tbody,.cards tr,.cards th,.cards td{display:block;text-align:left;white-space:normal}.cards tr{padding:11px 14px;border-top:1px solid var(--line)}.cards tbody tr:first-child{border-top:0}.cards th,.cards td{padding:1px 0;border:0}.cards td[data-label]{display:grid;grid-template-columns:104px minmax(0,1fr);gap:0 10px}.cards td[data-label]::before{content:attr(data-label);color:var(--dim)}.cards td:empty{display:none}.cards.dense td[data-label]{display:inline-flex;gap:6px;margin-right:14px}.dense .bar{width:80px}.dense .spark{margin-top:1px;height:18px}
.facts{grid-template-columns:minmax(0,1fr);gap:0}.facts dd{margin-bottom:8px}.cmd>div{grid-template-columns:minmax(0,1fr);gap:2px}label,input[type=search],select{width:100%}.check{width:auto}.panel,figure{padding:14px}}
@media print{:root{color-scheme:light;--bg:#fff;--panel:#fff;--ink:#000;--dim:#444;--line:#bbb;--rule:#ddd;--accent:#0b665c;--rest:#888;--code:#fff}nav,.skip,form,.who,summary{display:none}main,.top,footer{max-width:none;padding-left:0;padding-right:0}figure,.wrap,.panel,.step,tr{break-inside:avoid}pre{white-space:pre-wrap}a{color:inherit}}
`.trim()

/** The mark, as the icon of a tab: boxes on a shelf. */
export const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 20"><path fill="#0b806f" d="M2 17h16v2H2zM3 9h6v7H3zm8 0h6v7h-6zM7 1h6v7H7z"/></svg>'

/** What the sheet is called by: another text, another name (FNV-1a). */
export const STYLE_VERSION = hash(STYLE)

function hash(text: string): string {
  let value = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  }
  return (value >>> 0).toString(36)
}
