//! Plans an image of a directory and shows its layers, without any request: `plan DIR`.
#![allow(clippy::print_stdout, reason = "a program answers")]

use modelcar_core::{
    Plan,
    base::Base,
    plan::PlanOptions,
    source::{DirSource, Source},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("usage: plan DIR")?;
    let source = DirSource::open(dir).await?;
    let plan = Plan::new(source.origin(), source.list().await?, &Base::scratch().image, &PlanOptions::default())?;
    for layer in plan.layers() {
        println!("{:>12} bytes  {}", layer.size, layer.title());
    }
    for file in plan.left_out() {
        println!("left out: {}: {}", file.path, file.reason);
    }
    Ok(())
}
