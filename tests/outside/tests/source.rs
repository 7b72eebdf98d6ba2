//! A source over `object_store` keeps the contract, and becomes an image.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::{collections::BTreeMap, sync::Arc};

use modelcar_core::{
    BuildOptions, ModelPath, Plan, base::Base, build, conformance, plan::PlanOptions, sink::MemorySink, source::Source,
};
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use outside::StoreSource;

#[tokio::test]
async fn a_store_in_memory_keeps_the_contract_and_becomes_an_image() {
    let store = Arc::new(InMemory::new());
    let mut files = BTreeMap::new();
    for (path, size) in [("config.json", 2_usize), ("a/weights.bin", 300_000), ("empty", 0)] {
        let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
        store.put(&Path::from(path), bytes.clone().into()).await.unwrap();
        files.insert(path.parse::<ModelPath>().unwrap(), bytes.into());
    }
    conformance::source(async || StoreSource::new(store.clone()), &files).await.unwrap();

    let source = Arc::new(StoreSource::new(store));
    let (base, sink) = (Base::scratch(), MemorySink::new(["v1"]));
    let listed = source.list().await.unwrap();
    let plan = Plan::new(source.origin(), listed, &base.image, &PlanOptions::default()).unwrap();
    let built = build(&plan, source, &base, &sink, &BuildOptions::default()).await.unwrap();
    assert_eq!(built.bytes_fetched, 300_002);
}
