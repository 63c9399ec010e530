import asyncio, sys
from bench.load import Load
from bench.world import world
from bench import phases
async def main():
    async with world(Load.of(int(sys.argv[1]),10)) as w:
        for name in ("cold","push_one","push_all","drift","restart"):
            s=w.meter.begin()
            f=await getattr(phases,name)(w)
            win=w.meter.end(s)
            print(name,f); print(win)
            for what,n in (await w.requests(win.began,win.ended)).most_common(12): print("   ",n,what)
asyncio.run(main())
