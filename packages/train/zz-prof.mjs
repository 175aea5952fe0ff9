import fs from 'node:fs'
const p=JSON.parse(fs.readFileSync(process.argv[2])); const self=new Map(); const dt=p.timeDeltas; const byId=new Map(p.nodes.map(n=>[n.id,n])); const parent=new Map(); for(const n of p.nodes) for(const c of n.children??[]) parent.set(c,n.id)
const kern=new Map()
p.samples.forEach((s,i)=>{const n=byId.get(s); const k=n.callFrame.functionName+' '+n.callFrame.url.split('/').slice(-2).join('/')+':'+n.callFrame.lineNumber; self.set(k,(self.get(k)??0)+dt[i]); let q=s, name='?'; while(q){const c=byId.get(q).callFrame; if(/kernels\/|portable-/.test(c.url)){name=c.url.split('/').pop()+' '+c.functionName} q=parent.get(q)} kern.set(name,(kern.get(name)??0)+dt[i])})
const tot=dt.reduce((a,b)=>a+b,0); console.log('total s',tot/1e6)
for(const [k,v] of [...self].sort((a,b)=>b[1]-a[1]).slice(0,22)) console.log((v/1e6).toFixed(2),k)
console.log('--'); for(const [k,v] of [...kern].sort((a,b)=>b[1]-a[1]).slice(0,22)) console.log((v/1e6).toFixed(2),k)
